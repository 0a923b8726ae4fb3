//! The command lines of `dynode cost` and `dynode estimate`.

use clap::Args;
use schemas::Dimension;

use super::{QuestionArgs, ServerArgs};

/// `dynode cost`.
#[derive(Debug, Args)]
pub(crate) struct CostArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// What to group by, separated by commas: hour, organisation, instance, project, tenant, key,
    /// session, action, provider, model
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "provider,model")]
    pub(crate) by: Vec<Dimension>,
    /// The start: a time such as 2026-11-28T00:00:00Z, or how long ago, such as 24h or 7d
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub(crate) since: String,
    /// The end [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Print the sums as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `dynode estimate`.
#[derive(Debug, Args)]
pub(crate) struct EstimateArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print the estimate as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) question: QuestionArgs,
}
