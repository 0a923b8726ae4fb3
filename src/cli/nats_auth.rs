//! The command line of `dynode nats-auth`.

use std::path::PathBuf;

use clap::Args;
use schemas::{Subjects, Tenant};

/// `dynode nats-auth`.
#[derive(Debug, Args)]
pub(crate) struct NatsAuthArgs {
    /// A tenant whose services use the bus; repeat for each tenant
    #[arg(long = "tenant", value_name = "TENANT", required = true, value_parser = tenant)]
    pub(crate) tenants: Vec<Tenant>,
    /// Where to keep the seeds, one file each; a user whose file exists keeps its seed
    #[arg(long, value_name = "DIR")]
    pub(crate) seeds: PathBuf,
    /// The setting `prefix` of this Dynode
    #[arg(long, env = "DYNODE_PREFIX", default_value = "dynode", value_parser = prefix)]
    pub(crate) prefix: Subjects,
}

fn tenant(text: &str) -> Result<Tenant, String> {
    Tenant::new(text).map_err(|error| error.to_string())
}

fn prefix(text: &str) -> Result<Subjects, String> {
    Subjects::new(text).map_err(|error| error.to_string())
}
