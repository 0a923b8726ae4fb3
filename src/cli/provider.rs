//! The command line of `dynode provider`.

use clap::{Args, Subcommand};
use serde_json::Value;

/// `dynode provider`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProviderCommand {
    /// Read a provider file, show what it would send, and send it
    Check(CheckArgs),
}

/// `dynode provider check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The file, or the name of a shipped one, such as ideogram
    pub(crate) file: String,
    /// Really call this base URL and show the answers; reads the key as the file says
    #[arg(long, value_name = "URL")]
    pub(crate) against: Option<String>,
    /// The payload [default: a sample of each model's action]
    #[arg(long, value_name = "JSON", value_parser = json)]
    pub(crate) payload: Option<Value>,
    /// Check only this model [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// How long one call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) deadline: u64,
}

fn json(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err("a payload is an object, as in '{\"prompt\":\"a cat\"}'".into())
    }
}
