//! `dynode chat`.

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
    /// What the model is told before the first turn
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// The name of the conversation: whoever joins it sees it, and costs can be summed by it [default: a new one]
    #[arg(long)]
    pub(crate) session: Option<RequestId>,
    /// Tell model, usage and time of each answer even where standard error is no terminal
    #[arg(long, short)]
    pub(crate) verbose: bool,
}
