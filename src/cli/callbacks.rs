//! The command line of `dynode callbacks`.

use clap::{Args, Subcommand};

use super::ServerArgs;

/// `dynode callbacks`.
#[derive(Debug, Subcommand)]
pub(crate) enum CallbacksCommand {
    /// One line for each target that did not take its last callbacks, or to which nothing is sent any more
    List(CallbacksListArgs),
    /// Send callbacks to a target again; replay what was parked for it then
    Enable(CallbacksEnableArgs),
    /// Send nothing to a target any more: what comes for it is parked
    Disable(CallbacksDisableArgs),
}

/// `dynode callbacks list`.
#[derive(Debug, Args)]
pub(crate) struct CallbacksListArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// `dynode callbacks enable`.
#[derive(Debug, Args)]
pub(crate) struct CallbacksEnableArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Every target to which nothing is sent
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,
    /// Which, as `list` tells
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub(crate) ids: Vec<String>,
}

/// `dynode callbacks disable`.
#[derive(Debug, Args)]
pub(crate) struct CallbacksDisableArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Which: their URLs; what their queries say does not matter
    #[arg(value_name = "URL", required = true)]
    pub(crate) urls: Vec<String>,
}
