//! Which server a command talks to, and with which key.

use std::convert::Infallible;

use clap::Args;
use schemas::{Secret, Tenant};

use super::URL;

/// A running server.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// The URL of the server
    #[arg(long, env = "DYNODE_URL", default_value = URL)]
    pub(crate) url: String,
    /// The API key, if the server needs one; DYNODE_API_KEY keeps it out of process lists
    #[arg(long, value_name = "KEY", env = "DYNODE_API_KEY", hide_env_values = true, value_parser = secret)]
    pub(crate) key: Option<Secret>,
    /// Act for this tenant, with a superadmin's key [default: the key's tenant; for lists, all]
    #[arg(long = "as", value_name = "TENANT", env = "DYNODE_AS")]
    pub(crate) on_behalf: Option<Tenant>,
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
pub(super) fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}
