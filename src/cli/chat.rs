//! The command line of `dynode chat`.

use clap::Args;
use schemas::RequestId;

use super::ServerArgs;

/// `dynode chat`.
#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// The model
    #[arg(long, default_value = "sim-chat")]
    pub(crate) model: String,
    /// The system message before the first turn
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// The session: clients that join it see the conversation, and costs can be summed by it
    /// [default: a new one]
    #[arg(long)]
    pub(crate) session: Option<RequestId>,
    /// Report model, usage and time of each answer even if standard error is not a terminal
    #[arg(long, short)]
    pub(crate) verbose: bool,
}
