//! The fault proxy: carries TCP connections from one address to another and does to them what it is told, existing
//! connections included. It does not interpret the bytes that it carries.
//!
//! The grammar of [`faults`] says what it does: at its start, at [`Link::set`] and over HTTP by
//! [`Control`]: `GET /_sim/link` tells faults and counts, `PUT /_sim/faults` sets others, `DELETE` heals. A fault
//! counts when it strikes, so that whoever asked for it knows that it did.

mod connection;
mod control;
mod corruption;
mod counts;
mod direction;
pub mod faults;
mod link;
mod queue;
mod side;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub use control::Control;
pub use counts::{Counts, Fired};
pub use faults::Faults;
pub use link::{Link, State};
pub use side::{Side, Sides};

use crate::connections::is_of_the_peer;
use connection::Birth;

/// Connections carried at once, each of two sockets; beyond that, new ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 8_192;

/// What a proxy starts with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where it connects for each connection that it accepts: `HOST:PORT`.
    pub upstream: String,
    /// The faults it begins with.
    pub faults: Faults,
    /// The seed of jitter and corruption; the same seed changes the same bytes.
    pub seed: u64,
}

impl Config {
    /// A link without faults, at a free port of this machine.
    #[must_use]
    pub fn to(upstream: impl Into<String>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            upstream: upstream.into(),
            faults: Faults::default(),
            seed: 0,
        }
    }
}

/// A fault proxy that has bound its port.
#[derive(Debug)]
pub struct Proxy {
    listener: TcpListener,
    address: SocketAddr,
    upstream: String,
    seed: u64,
    link: Link,
}

impl Proxy {
    /// Takes the port; connections wait in its backlog until [`Proxy::serve`].
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let Config { upstream, faults, seed, .. } = config;
        Ok(Self { listener, address, upstream, seed, link: Link::new(faults) })
    }

    /// The address it listens on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The handle that sets its faults and reads its counts.
    #[must_use]
    pub fn link(&self) -> Link {
        self.link.clone()
    }

    /// Carries connections until `shutdown` completes, which ends those that are open.
    ///
    /// # Errors
    /// When the listener cannot accept although no connection is open, so that nothing would ever free it.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let mut open = JoinSet::new();
        let mut starved = false;
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                Some(_) = open.join_next() => starved = false,
                accepted = self.listener.accept(), if !starved && open.len() < MAX_CONNECTIONS => match accepted {
                    Ok((client, _)) => _ = open.spawn(self.connection(client)),
                    Err(error) if is_of_the_peer(&error) => {}
                    // Out of file descriptors, most likely: only the end of a connection gives one back.
                    Err(error) if !open.is_empty() => {
                        tracing::warn!(%error, open = open.len(), "cannot accept until a connection ends");
                        starved = true;
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Carries one connection to its end; the count of open ones stays right even if its task is dropped.
    fn connection(&self, client: TcpStream) -> impl Future<Output = ()> + Send + use<> {
        let open = Open::new(self.link.clone());
        let (upstream, seed) = (self.upstream.clone(), self.seed.wrapping_add(open.number.wrapping_mul(2)));
        // Read now: what is ordered before its task first runs hits it too.
        let orders = self.link.orders();
        let born = orders.borrow().generation;
        let birth = Birth { orders, born, seed };
        async move { connection::carry(client, &upstream, &open.link, birth).await }
    }
}

/// A connection that counts as open until this is dropped.
#[derive(Debug)]
struct Open {
    link: Link,
    /// Its place among the accepted connections, from 1.
    number: u64,
}

impl Open {
    fn new(link: Link) -> Self {
        let mut number = 0;
        link.count(|counts| {
            counts.accepted += 1;
            counts.open += 1;
            number = counts.accepted;
        });
        Self { link, number }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.link.count(|counts| counts.open -= 1);
    }
}
