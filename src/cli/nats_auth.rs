//! `dynode nats-auth`, as it is typed.

use std::path::PathBuf;

use clap::Args;
use schemas::{Subjects, Tenant};

/// `dynode nats-auth`.
#[derive(Debug, Args)]
pub(crate) struct NatsAuthArgs {
    /// A tenant whose services use the bus; once for each
    #[arg(long = "tenant", value_name = "TENANT", required = true, value_parser = tenant)]
    pub(crate) tenants: Vec<Tenant>,
    /// Where the secrets go, one file each; users whose file is there keep it
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
