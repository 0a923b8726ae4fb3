//! What stops the gateway. What a client is told is `refusal`'s.

use std::net::SocketAddr;

/// The gateway could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Other machines reach it, and there is no key by which anybody may come in.
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
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// The configured address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The broker refused the subscriptions without which no door can answer.
    #[error("cannot subscribe to events: {0}")]
    Subscribe(#[from] broker::Error),
    /// The store of assets, or the keys of the installation, cannot be opened.
    #[error("cannot open the store of assets and keys: {0}; its size is assets.store_bytes_max")]
    Store(broker::Error),
    /// A task without which the doors do not do as they promise ended: the event hub, or who looks after chats.
    #[error("a part of the gateway stopped: {0}")]
    Hub(String),
}
