//! The broker on a NATS server with JetStream. The NATS client's types stay in here.

mod ack;
mod address;
mod api;
mod bucket;
mod clock;
mod connection;
mod consumer;
mod credentials;
mod dial;
mod done;
mod inbox;
mod keeper;
mod leftovers;
mod link;
mod near;
mod publish;
mod pull;
mod read;
mod request;
mod room;
mod streams;
mod wire;

use std::{fmt, future::ready, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::sync::watch;

use self::{bucket::KeyValue, connection::Connection, consumer::PullConsumer, keeper::Keeper};
use crate::subject::{check_subject, parse};
use crate::{
    Broker, Bucket, BucketSpec, Consumer, ConsumerSpec, Description, Error, ErrorKind, Link, Message,
    Publication, Receipt, Replay, Stored, StreamSpec, Subscription, message::MESSAGE_ID,
};

pub use credentials::inbox_of;

/// How long a starting server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a server syncs its files to the disk unless told otherwise.
const SYNC_INTERVAL_DEFAULT: Duration = Duration::from_secs(120);

/// How to reach the broker.
#[derive(Clone)]
pub struct Config {
    /// One URL, or several of one cluster joined by commas. May hold credentials, which are never shown.
    pub url: String,
    /// A file that identifies us: a NATS credentials file, or the seed of an nkey alone. With an nkey all answers come
    /// to inboxes below [`inbox_of`], so that nobody else needs permission to read them.
    pub credentials_file: Option<PathBuf>,
    /// The name under which the server lists this connection.
    pub name: String,
    /// How long to try for the first connection. Reconnects are tried for ever.
    pub connect_timeout: Duration,
    /// How many servers keep a new stream.
    pub replicas: usize,
    /// The server's `sync_interval`, if known, zero for `always`; only for the words about what a power failure loses.
    pub sync_interval: Option<Duration>,
}

impl Config {
    /// The broker at `url`, with one copy of each stream.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credentials_file: None,
            name: "dynode".to_owned(),
            connect_timeout: CONNECT_TIMEOUT,
            replicas: 1,
            sync_interval: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold credentials.
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("credentials_file", &self.credentials_file)
            .field("connect_timeout", &self.connect_timeout)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

/// A connected JetStream broker.
#[derive(Debug)]
pub struct JetStream {
    connection: Arc<Connection>,
    keeper: Arc<Keeper>,
    replicas: usize,
    sync_interval: Option<Duration>,
}

impl JetStream {
    /// Connects to a server and makes sure that it can do what is needed.
    pub async fn connect(config: Config) -> Result<Self, Error> {
        let connection = Connection::open(&config).await?;
        let keeper = Arc::new(Keeper::start(Arc::clone(&connection), config.replicas));
        Ok(Self { connection, keeper, replicas: config.replicas, sync_interval: config.sync_interval })
    }

    fn survives(&self) -> String {
        if self.replicas > 1 {
            return format!(
                "each message is on {} servers before it is acknowledged: the loss of fewer than half of them loses \
                 nothing",
                self.replicas
            );
        }
        if self.sync_interval == Some(Duration::ZERO) {
            return "neither a crash of the server process nor a power failure loses anything acknowledged"
                .to_owned();
        }
        let lost = self.sync_interval.map_or_else(
            || format!("up to {SYNC_INTERVAL_DEFAULT:?} at the server's default, see its sync_interval"),
            |interval| format!("up to {interval:?}"),
        );
        format!(
            "a crash of the server process loses nothing acknowledged; a power failure may lose the last moments ({lost})"
        )
    }
}

#[async_trait]
impl Broker for JetStream {
    fn describe(&self) -> Description {
        let server = self.connection.server();
        let cluster = server.cluster.map(|name| format!(" (cluster {name})")).unwrap_or_default();
        Description {
            name: format!("nats-server {} at {}{cluster}", server.version, self.connection.address()),
            survives: self.survives(),
            message_bytes_max: self.connection.client().max_payload(),
        }
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.connection.link()
    }

    fn now(&self) -> Timestamp {
        self.connection.clock().now()
    }

    async fn ensure(&self, streams: &[StreamSpec]) -> Result<(), Error> {
        room::fit(&self.connection, streams, self.replicas, None).await?;
        self.keeper.keep(streams);
        Ok(())
    }

    async fn publish(&self, publication: Publication) -> Result<Receipt, Error> {
        let subject = &publication.message.subject;
        check_subject(subject)?;
        let publish = || publish::publish(&self.connection, &publication);
        let mut published = publish().await;
        // Looks up which stream takes the subject only if that stream may be missing.
        if let Err(error) = &published
            && error.kind() == ErrorKind::NotFound
            && let Some(stream) = self.keeper.stream_of(subject)
        {
            self.keeper.mend(&stream).await?;
            published = publish().await;
        }
        // If others listen on the subject, a timeout is the only sign of a missing stream.
        if let Err(error) = &published
            && error.kind() == ErrorKind::Timeout
            && let Some(stream) = self.keeper.stream_of(subject)
        {
            self.keeper.suspect(&stream);
        }
        if reached_the_server(&published) && self.connection.near().is_heard(subject) {
            let Publication { mut message, id } = publication;
            if let Some(id) = id {
                message.headers.set(MESSAGE_ID, id);
            }
            self.connection.near().tell(message);
        }
        published
    }

    async fn send(&self, message: Message) -> Result<(), Error> {
        check_subject(&message.subject)?;
        // Not buffered for later: a live message that comes late is worth less than the room it takes from others.
        self.connection.must_be_up()?;
        let headers = wire::to_nats(&message.headers)?;
        let headers = (!headers.is_empty()).then_some(headers);
        self.connection.tell(&message.subject, None, headers, message.payload.clone()).await?;
        self.connection.near().tell(message);
        Ok(())
    }

    async fn subscribe(&self, pattern: &str) -> Result<Subscription, Error> {
        let parsed = parse(pattern)?;
        self.connection.must_be_up()?;
        // Status messages are dropped: they are about requests, and there are none here.
        let messages = self.connection.listen(pattern).await?;
        let far = messages.filter(|message| ready(message.status.is_none())).map(wire::from_nats);
        let near = self.connection.near().listen(parsed);
        // It ends when the messages from the server end.
        let far = far.map(Some).chain(stream::once(ready(None)));
        Ok(stream::select(near.map(Some), far)
            .take_while(|message| ready(message.is_some()))
            .filter_map(ready)
            .boxed())
    }

    async fn consume(&self, consumer: &ConsumerSpec) -> Result<Box<dyn Consumer>, Error> {
        Ok(Box::new(
            PullConsumer::open(Arc::clone(&self.connection), Arc::clone(&self.keeper), consumer).await?,
        ))
    }

    async fn last(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Error> {
        self.keeper.healing(stream, || read::last(&self.connection, stream, subject)).await
    }

    async fn next(&self, stream: &str, subject: &str, from: u64) -> Result<Option<Stored>, Error> {
        self.keeper.healing(stream, || read::next(&self.connection, stream, subject, from)).await
    }

    async fn first_since(&self, stream: &str, pattern: &str, since: Timestamp) -> Result<Option<u64>, Error> {
        self.keeper.healing(stream, || read::first_since(&self.connection, stream, pattern, since)).await
    }

    async fn replay(&self, stream: &str, pattern: &str, from: u64) -> Result<Replay, Error> {
        self.keeper.healing(stream, || read::replay(&self.connection, stream, pattern, from)).await
    }

    async fn remove(&self, stream: &str, sequence: u64) -> Result<(), Error> {
        read::remove(&self.connection, stream, sequence).await
    }

    async fn trim(&self, stream: &str, count: u64) -> Result<(), Error> {
        read::trim(&self.connection, stream, count).await
    }

    async fn purge(&self, stream: &str, subject: &str) -> Result<(), Error> {
        read::purge(&self.connection, stream, subject).await
    }

    async fn subjects(&self, stream: &str, pattern: &str) -> Result<Vec<(String, u64)>, Error> {
        self.keeper.healing(stream, || streams::subjects(&self.connection, stream, pattern)).await
    }

    async fn bucket(&self, bucket: &BucketSpec) -> Result<Box<dyn Bucket>, Error> {
        Ok(Box::new(KeyValue::open(Arc::clone(&self.connection), bucket, self.replicas).await?))
    }

    async fn close(&self) {
        self.connection.close().await;
    }
}

/// Whether subscribers hear what was published: also if a stream refused it, or may have stored it.
fn reached_the_server(published: &Result<Receipt, Error>) -> bool {
    match published {
        Ok(_) => true,
        Err(error) => matches!(
            error.kind(),
            ErrorKind::Exists
                | ErrorKind::Full
                | ErrorKind::WrongRevision
                | ErrorKind::NotFound
                | ErrorKind::Timeout
        ),
    }
}
