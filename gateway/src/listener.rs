//! Accepts connections from a socket, or from code that hands them in. A simulation hands them in: no byte may pass the
//! kernel, whose time cannot be paused.

use std::{net::IpAddr, time::Duration};

use tokio::{
    io::DuplexStream,
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tracing::{debug, warn};

/// How long to wait after a failed accept (no file descriptor left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Yields one connection after another.
pub(crate) enum Listener {
    Socket(TcpListener),
    Given(mpsc::Receiver<DuplexStream>),
}

/// An accepted connection.
pub(crate) enum Incoming {
    /// From this address.
    Tcp(TcpStream, IpAddr),
    Given(DuplexStream),
}

impl Listener {
    /// Waits for the next connection, however long that takes.
    pub(crate) async fn accept(&mut self) -> Incoming {
        match self {
            Self::Socket(listener) => {
                let (stream, address) = accept_one(listener).await;
                Incoming::Tcp(stream, address)
            }
            Self::Given(streams) => match streams.recv().await {
                Some(stream) => Incoming::Given(stream),
                None => std::future::pending().await,
            },
        }
    }
}

/// Waits for the next connection of a socket, however long that takes; returns its peer address too.
pub(crate) async fn accept_one(listener: &TcpListener) -> (TcpStream, IpAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "cannot set TCP_NODELAY");
                }
                return (stream, peer.ip());
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
