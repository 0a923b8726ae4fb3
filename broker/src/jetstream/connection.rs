//! The one connection of a handle: refuses a server that cannot do what the contract needs, leaves reconnecting to the
//! client, and hands it messages in bounded time.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_nats::{Client, ServerInfo};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    Config,
    address::Address,
    api,
    clock::Clock,
    dial,
    done::Ways,
    link::{Follower, Session},
    near::Near,
    request::{Requests, Waiting},
    wire,
};
use crate::{Error, ErrorKind, Link};

/// The oldest server that will do: 2.11 has the batched reads on which a replay relies. Older ones silently accept new
/// settings and ignore them.
const SERVER_MIN: (u32, u32) = (2, 11);
/// The first version that limits a stream to a thousand consumers unless the stream says otherwise.
const LIMITS_CONSUMERS: (u32, u32) = (2, 15);
/// How long after a connection its event may come.
const EVENT_MAX: Duration = Duration::from_secs(5);
/// How long to wait for the client to take a message. It takes none only while the connection is down and its buffer
/// full.
pub(super) const TAKE_MAX: Duration = Duration::from_secs(1);
/// How long the last messages may take to leave on close.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// A connected client and what belongs to it.
#[derive(Debug)]
pub(super) struct Connection {
    client: Arc<Client>,
    address: Address,
    follower: Arc<Follower>,
    requests: Requests,
    near: Arc<Near>,
    server: OnceLock<ServerInfo>,
    clock: Clock,
    ways: Ways,
}

impl Connection {
    /// Connects, trying for as long as the configuration says.
    pub(super) async fn open(config: &Config) -> Result<Arc<Self>, Error> {
        let address = Address::parse(&config.url)?;
        let waiting = Arc::new(Waiting::default());
        let follower = Arc::new(Follower::new(Arc::clone(&waiting)));
        let client = Arc::new(dial::connect(config, &address, &follower).await?);
        follower.follow(&client);
        let requests = Requests::open(Arc::clone(&client), waiting).await?;
        let (near, server) = (Arc::default(), OnceLock::new());
        let (clock, ways) = (Clock::default(), Ways::default());
        let connection = Self { client, address, follower, requests, near, server, clock, ways };
        // The connection's event may come after the connection.
        connection.up_within(EVENT_MAX).await?;
        connection.check().await?;
        Ok(Arc::new(connection))
    }

    /// The client.
    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The server's clock.
    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How to tell streams that messages are done.
    pub(super) const fn ways(&self) -> &Ways {
        &self.ways
    }

    /// Questions and answers.
    pub(super) const fn requests(&self) -> &Requests {
        &self.requests
    }

    /// The subscriptions in this process.
    pub(super) const fn near(&self) -> &Arc<Near> {
        &self.near
    }

    /// Where the broker is, without credentials.
    pub(super) const fn address(&self) -> &Address {
        &self.address
    }

    /// What the server said about itself when it was checked.
    pub(super) fn server(&self) -> ServerInfo {
        self.server.get().cloned().unwrap_or_else(|| self.client.server_info())
    }

    /// The number of the current connection.
    pub(super) fn number(&self) -> u64 {
        self.follower.number()
    }

    /// The state of the connection, and every change.
    pub(super) fn session(&self) -> watch::Receiver<Session> {
        self.follower.session()
    }

    /// The public part of that state.
    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.follower.link()
    }

    /// Waits until the connection is up and returns its session. Waits for ever, unless the handle is closed.
    pub(super) async fn up(&self) -> Result<Session, Error> {
        let mut session = self.session();
        let standing = session.wait_for(|session| session.closed || session.link == Link::Up).await;
        match standing {
            Ok(session) if !session.closed => Ok(*session),
            _ => Err(self.closed()),
        }
    }

    /// Waits until the connection is up, but no longer than `within`.
    pub(super) async fn up_within(&self, within: Duration) -> Result<Session, Error> {
        let session = self.follower.current();
        if session.link == Link::Up && !session.closed {
            return Ok(session);
        }
        timeout(within, self.up()).await.unwrap_or_else(|_| Err(self.down()))
    }

    /// Fails at once if the connection is down.
    pub(super) fn must_be_up(&self) -> Result<(), Error> {
        let session = self.follower.current();
        match session.link {
            _ if session.closed => Err(self.closed()),
            Link::Up => Ok(()),
            Link::Down(_) => Err(self.down()),
        }
    }

    /// Hands a message to the client, in bounded time.
    pub(super) async fn tell(
        &self,
        subject: &str,
        reply: Option<String>,
        headers: Option<async_nats::HeaderMap>,
        payload: Bytes,
    ) -> Result<(), Error> {
        wire::publish(&self.client, Instant::now() + TAKE_MAX, subject, reply, headers, payload).await
    }

    /// Subscribes, in bounded time.
    pub(super) async fn listen(&self, pattern: &str) -> Result<async_nats::Subscriber, Error> {
        match timeout(TAKE_MAX, self.client.subscribe(pattern.to_owned())).await {
            Ok(Ok(subscriber)) => Ok(subscriber),
            Ok(Err(error)) => {
                let kind = match error.kind() {
                    async_nats::client::SubscribeErrorKind::Other => ErrorKind::Closed,
                    _ => ErrorKind::Invalid,
                };
                Err(Error::new(kind, format!("cannot subscribe to {pattern}")).with_source(error))
            }
            Err(_) => Err(self.down()),
        }
    }

    /// Sends what is still buffered, in bounded time, and closes.
    pub(super) async fn close(&self) {
        if self.must_be_up().is_ok() && timeout(FLUSH_MAX, self.client.flush()).await.is_err() {
            tracing::warn!(broker = %self.address, "the last messages to the broker did not leave in time");
        }
        self.follower.close();
        // It fails only if the client is closed, or waits for a connection and has nobody to tell.
        let _ = timeout(TAKE_MAX, self.client.drain()).await;
        self.near.close();
    }

    /// Whether the server limits a stream's consumers if the stream names no number.
    pub(super) fn limits_consumers(&self) -> bool {
        version(&self.server().version).is_some_and(|version| version >= LIMITS_CONSUMERS)
    }

    fn down(&self) -> Error {
        Error::new(ErrorKind::Disconnected, format!("no connection to {}", self.address))
    }

    fn closed(&self) -> Error {
        Error::new(ErrorKind::Closed, format!("the connection to {} is closed", self.address))
    }

    /// Refuses a server that is too old or has no JetStream.
    async fn check(&self) -> Result<(), Error> {
        let server = self.client.server_info();
        let (major, minor) = SERVER_MIN;
        if version(&server.version).is_none_or(|version| version < SERVER_MIN) {
            let what = format!(
                "the nats-server at {} is {}, and {major}.{minor} or newer is needed: update it",
                self.address, server.version
            );
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        api::call::<Value>(self, "INFO", &json!({})).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Full => {
                let what = format!(
                    "the nats-server at {} has no JetStream for us: add `jetstream {{ store_dir: \"…\" }}` to its \
                     configuration, or `jetstream: enabled` to our account",
                    self.address
                );
                Error::new(ErrorKind::Invalid, what).with_source(error)
            }
            _ => error,
        })?;
        // Empty until here, and set only once.
        let _ = self.server.set(server);
        Ok(())
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(version("2.9.10") < Some(SERVER_MIN));
        assert!(version("2.11.0-beta.1") >= Some(SERVER_MIN));
        assert_eq!(version("nightly"), None);
    }
}
