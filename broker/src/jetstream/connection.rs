//! The one connection of a handle: made with patience, kept by the client, refused to a server that cannot do what the
//! contract needs.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, ServerInfo};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    Config,
    address::Address,
    api,
    link::{Follower, Session},
    request::{Requests, Waiting},
    wire,
};
use crate::{Error, ErrorKind, Link};

/// The oldest server that gives all of it: 2.11 has the batched reads that a replay is made of. Older ones take new
/// settings silently and ignore them.
const SERVER_MIN: (u32, u32) = (2, 11);
/// A frozen server is noticed after three of these; the client's own minute would make it three minutes.
const PING_EVERY: Duration = Duration::from_secs(5);
/// One attempt to connect.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);
/// Between two attempts: the first again at once, and never long, because a restart takes a fifth of a second.
const RETRY_MS_MIN: u64 = 5;
const RETRY_MS_MAX: u64 = 1_000;
/// Messages that a subscription holds for its reader. The most that a consumer asks for must fit twice; more is lost.
const SUBSCRIPTION_MESSAGES: usize = 16_384;
/// How long a message waits to be taken by the client. It does not take one only while the connection is down and its
/// buffer full.
pub(super) const TAKE_MAX: Duration = Duration::from_secs(1);
/// How long the last messages may take to leave at the end.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// A connected client and what belongs to it.
#[derive(Debug)]
pub(super) struct Connection {
    client: Arc<Client>,
    address: Address,
    follower: Arc<Follower>,
    requests: Requests,
    server: OnceLock<ServerInfo>,
}

impl Connection {
    /// Connects, trying for as long as the configuration says.
    pub(super) async fn open(config: &Config) -> Result<Arc<Self>, Error> {
        let address = Address::parse(&config.url)?;
        let waiting = Arc::new(Waiting::default());
        let follower = Arc::new(Follower::new(Arc::clone(&waiting)));
        let client = Arc::new(connect(config, &address, &follower).await?);
        follower.follow(&client);
        let requests = Requests::open(Arc::clone(&client), waiting).await?;
        let connection = Self { client, address, follower, requests, server: OnceLock::new() };
        // The event of the connection may come after the connection.
        connection.up_within(ATTEMPT_MAX).await?;
        connection.check().await?;
        Ok(Arc::new(connection))
    }

    /// The client.
    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Questions and answers.
    pub(super) const fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Where the broker is, without credentials.
    pub(super) const fn address(&self) -> &Address {
        &self.address
    }

    /// What the server said of itself when it was checked.
    pub(super) fn server(&self) -> ServerInfo {
        self.server.get().cloned().unwrap_or_else(|| self.client.server_info())
    }

    /// The connection as it stands, and every change.
    pub(super) fn session(&self) -> watch::Receiver<Session> {
        self.follower.session()
    }

    /// The part of it that others may see.
    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.follower.link()
    }

    /// Waits until it stands, and says which one it is. Endless, unless the handle is closed.
    pub(super) async fn up(&self) -> Result<Session, Error> {
        let mut session = self.session();
        let standing = session.wait_for(|session| session.closed || session.link == Link::Up).await;
        match standing {
            Ok(session) if !session.closed => Ok(*session),
            _ => Err(self.closed()),
        }
    }

    /// Waits until it stands, but not for longer than `within`.
    pub(super) async fn up_within(&self, within: Duration) -> Result<Session, Error> {
        timeout(within, self.up()).await.unwrap_or_else(|_| Err(self.down()))
    }

    /// Fails at once when it does not stand.
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
        // It fails only for a client that is closed, or that waits for a connection and has nobody to tell.
        let _ = timeout(TAKE_MAX, self.client.drain()).await;
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
        // Empty until here, and set once.
        let _ = self.server.set(server);
        Ok(())
    }
}

async fn connect(config: &Config, address: &Address, follower: &Arc<Follower>) -> Result<Client, Error> {
    let deadline = Instant::now() + config.connect_timeout;
    let mut attempt = 0;
    loop {
        let options = options(config, address, follower).await?;
        let error = match options.connect(address.servers()).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        let (kind, mend) = match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                (ErrorKind::Denied, "it takes other credentials: look at the url or the credentials file")
            }
            ConnectErrorKind::ServerParse | ConnectErrorKind::Tls => {
                (ErrorKind::Invalid, "look at the url, and whether the server speaks TLS")
            }
            _ => (ErrorKind::Disconnected, "is it running?"),
        };
        attempt += 1;
        let pause = retry_after(attempt);
        if kind != ErrorKind::Disconnected || Instant::now() + pause > deadline {
            let what = format!("cannot connect to {address} ({}): {mend}", error.kind());
            return Err(Error::new(kind, what).with_source(error));
        }
        sleep(pause).await;
    }
}

async fn options(
    config: &Config,
    address: &Address,
    follower: &Arc<Follower>,
) -> Result<ConnectOptions, Error> {
    let follower = Arc::clone(follower);
    let options = address
        .sign(ConnectOptions::new())
        .name(&config.name)
        .ping_interval(PING_EVERY)
        .connection_timeout(ATTEMPT_MAX)
        .subscription_capacity(SUBSCRIPTION_MESSAGES)
        .reconnect_delay_callback(retry_after)
        .event_callback(move |event| {
            follower.on(&event);
            std::future::ready(())
        });
    let Some(file) = &config.credentials_file else { return Ok(options) };
    let unusable = |error: std::io::Error| {
        let what = format!("cannot use the credentials file {}", file.display());
        Error::new(ErrorKind::Invalid, what).with_source(error)
    };
    let credentials = tokio::fs::read_to_string(file).await.map_err(unusable)?;
    options.credentials(&credentials).map_err(|_| {
        // The parser's words may hold what it read.
        Error::new(ErrorKind::Invalid, format!("{} is not a NATS credentials file", file.display()))
    })
}

/// Doubling, with jitter, so that all who lost one server do not come back in one moment.
fn retry_after(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let ceiling = (RETRY_MS_MIN << doublings).min(RETRY_MS_MAX);
    Duration::from_millis(ceiling / 2 + rand::random_range(0..=ceiling / 2))
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

    #[test]
    fn the_pause_before_a_new_attempt_is_bounded() {
        assert!((0..100).all(|attempt| retry_after(attempt) <= Duration::from_millis(RETRY_MS_MAX)));
    }
}
