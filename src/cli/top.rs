//! The command line of `dynode top`.

use clap::Args;

use super::ServerArgs;

/// `dynode top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// How long to wait between two reads
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) interval: u64,
    /// How many times to read [default: until stopped on a terminal, otherwise once]
    #[arg(long, value_name = "TIMES")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Print the server's answers, one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}
