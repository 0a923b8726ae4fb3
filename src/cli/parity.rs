//! The command line of `dynode parity`.

use std::path::PathBuf;

use chaos::parity::Area;
use clap::Args;
use schemas::Secret;

use super::{chaos::gateway, server::secret};

/// `dynode parity`.
#[derive(Debug, Args)]
pub(crate) struct ParityArgs {
    /// The running gateway to test, such as http://127.0.0.1:8321; it needs the simulated models
    #[arg(long, value_name = "URL", value_parser = gateway)]
    pub(crate) target: Option<String>,
    /// The broker of that deployment, such as nats://127.0.0.1:4222 [default: skip the bus]
    #[arg(long, value_name = "URL", requires = "target", value_parser = secret)]
    pub(crate) nats: Option<Secret>,
    /// The API key for that deployment
    #[arg(long, env = "DYNODE_API_KEY", hide_env_values = true, value_parser = secret)]
    pub(crate) key: Option<Secret>,
    /// Run only the cases of this area, such as chat
    #[arg(long, value_parser = area)]
    pub(crate) area: Option<Area>,
    /// Run only the cases whose names contain this
    #[arg(long, value_name = "TEXT")]
    pub(crate) case: Option<String>,
    /// Also write the report to this file, which ends in .md or .json
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// The nats-server to start [default: the one on PATH]
    #[arg(long, value_name = "PATH", env = "DYNODE_NATS_SERVER")]
    pub(crate) nats_server: Option<PathBuf>,
    /// Where to create the directory for reports and logs
    #[arg(long, value_name = "DIR", default_value = "dynode-parity")]
    pub(crate) dir: PathBuf,
}

fn area(text: &str) -> Result<Area, String> {
    let named = serde_json::from_value(text.into());
    named.map_err(|error: serde_json::Error| error.to_string())
}
