//! `dynode chat`.

use clap::Args;
use schemas::{RequestId, Secret};

use super::URL;

/// `dynode chat`.
#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    /// Where the server is
    #[arg(long, env = "DYNODE_URL", default_value = URL)]
    pub(crate) url: String,
    /// The API key, where the server wants one
    #[arg(long, value_name = "KEY", env = "DYNODE_API_KEY", hide_env_values = true, value_parser = secret)]
    pub(crate) key: Option<Secret>,
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

#[expect(clippy::unnecessary_wraps, reason = "what clap calls")]
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}
