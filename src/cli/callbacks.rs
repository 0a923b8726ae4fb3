//! The command line of `dynode callbacks`.

use clap::{Args, Subcommand};

use super::ServerArgs;

/// `dynode callbacks`.
#[derive(Debug, Subcommand)]
pub(crate) enum CallbacksCommand {
    /// List the targets that failed their last callbacks or are disabled
    List(CallbacksListArgs),
    /// Send callbacks to a target again; afterwards, replay its parked ones
    Enable(CallbacksEnableArgs),
    /// Stop sending callbacks to a target and park them
    Disable(CallbacksDisableArgs),
}

/// `dynode callbacks list`.
#[derive(Debug, Args)]
pub(crate) struct CallbacksListArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `dynode callbacks enable`.
#[derive(Debug, Args)]
pub(crate) struct CallbacksEnableArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Every disabled target
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,
    /// Target ids, as `list` shows them
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub(crate) ids: Vec<String>,
}

/// `dynode callbacks disable`.
#[derive(Debug, Args)]
pub(crate) struct CallbacksDisableArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Target URLs; their queries are ignored
    #[arg(value_name = "URL", required = true)]
    pub(crate) urls: Vec<String>,
}
