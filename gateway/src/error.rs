//! The errors that stop the gateway. `refusal` has those for clients.

use std::net::SocketAddr;
use std::path::PathBuf;

/// The gateway could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Other machines reach the gateway, and there is no key with which anybody could come in.
    #[error(
        "{address} is reached by other machines, and there are no API keys yet: make the first with `dynode key create` while \
             `dynode` listens on 127.0.0.1, or put one into the configuration (`dynode key create --offline`); to let everybody \
             in, start with --without-keys"
    )]
    NoKeys {
        /// Where it listens.
        address: SocketAddr,
    },
    /// A value in the configuration makes no sense.
    #[error("{0}")]
    Config(String),
    /// The gateway cannot listen on the address.
    #[error("cannot listen on {address}: {source}; choose another {setting}")]
    Listen {
        /// The setting, or flag, that names it.
        setting: &'static str,
        /// The configured address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the TLS certificate cannot be used.
    #[error("{setting}: `{}`: {source}", file.display())]
    Tls {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The broker refused the subscriptions without which no door can answer.
    #[error("cannot subscribe to events: {0}")]
    Subscribe(#[from] broker::Error),
    /// The store of assets, or the keys of the installation, cannot be opened.
    #[error("cannot open the store of assets and keys: {0}; its size is assets.store_bytes_max")]
    Store(broker::Error),
    /// A task that the doors depend on has ended: the event hub, the linger task or the key keeper.
    #[error("a part of the gateway stopped: {0}")]
    Hub(String),
}
