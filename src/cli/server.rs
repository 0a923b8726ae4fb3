//! Which server a command talks to, and by which key.

use std::convert::Infallible;

use clap::Args;
use schemas::{Secret, Tenant};

use super::URL;

/// A running server.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// Where the server is
    #[arg(long, env = "DYNODE_URL", default_value = URL)]
    pub(crate) url: String,
    /// The API key, where the server needs one; as DYNODE_API_KEY it stands in no list of processes
    #[arg(long, value_name = "KEY", env = "DYNODE_API_KEY", hide_env_values = true, value_parser = secret)]
    pub(crate) key: Option<Secret>,
    /// On behalf of which tenant, with the key of a superadmin [default: that of the key; of what is listed, all]
    #[arg(long = "as", value_name = "TENANT", env = "DYNODE_AS")]
    pub(crate) on_behalf: Option<Tenant>,
}

#[expect(clippy::unnecessary_wraps, reason = "clap wants a result")]
pub(super) fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}
