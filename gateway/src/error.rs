//! What stops the gateway. What a client is told is `refusal`'s.

use std::path::PathBuf;

/// The gateway could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value in the configuration makes no sense.
    #[error("{0}")]
    Config(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another {setting}")]
    Listen {
        /// Which setting, or flag, says it.
        setting: &'static str,
        /// The configured address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the certificate cannot be used.
    #[error("{setting}: `{}`: {source}", file.display())]
    Tls {
        /// Which setting names it.
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
    /// A task without which the doors do not do as they promise ended: the event hub, or who looks after chats.
    #[error("a part of the gateway stopped: {0}")]
    Hub(String),
}
