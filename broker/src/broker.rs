//! The one trait between Dynode and whatever carries its messages.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{BucketSpec, Consumer, ConsumerSpec, Error, Message, Publication, Receipt, Stored, StreamSpec};

/// Live messages of a subscription, in the order of each subject. Ends when the subscription is dropped by the broker.
/// At most once: a reader that falls behind loses messages and must look into the stream for them.
pub type Subscription = BoxStream<'static, Message>;

/// Stored messages, oldest first, up to the end as it was when the replay began.
pub type Replay = BoxStream<'static, Result<Stored, Error>>;

/// Carries messages. Implemented by [`crate::jetstream::JetStream`] and [`crate::memory::Memory`]; one conformance
/// suite holds both to the same behaviour.
#[async_trait]
pub trait Broker: Send + Sync + fmt::Debug + 'static {
    /// What it is and what it survives, for the start banner.
    fn describe(&self) -> Description;

    /// Whether it is reachable, and every change of that.
    fn link(&self) -> watch::Receiver<Link>;

    /// The broker's time of day: that of `stored_at`, and so of every deadline. No step of this machine's clock moves it.
    fn now(&self) -> Timestamp;

    /// Makes sure that these streams exist and hold what they promise. A stream that exists with a weaker promise
    /// (discards old, too small a window) is an `Invalid` error that says which setting and the mend.
    async fn ensure(&self, streams: &[StreamSpec]) -> Result<(), Error>;

    /// Stores a message and returns when the broker has acknowledged it. After an error of an unknown result
    /// (`Timeout`, `Disconnected`) repeat it with the same id.
    async fn publish(&self, publication: Publication) -> Result<Receipt, Error>;

    /// Sends a message to whoever listens now, and into a stream that captures its subject, without waiting for
    /// either. Messages of one sender on one subject stay in order. At most once.
    async fn send(&self, message: Message) -> Result<(), Error>;

    /// Listens to `pattern` (`*` is one token, `>` the rest). What is sent by this handle after the call returns
    /// is heard.
    async fn subscribe(&self, pattern: &str) -> Result<Subscription, Error>;

    /// Opens a durable consumer; makes it where it is missing.
    async fn consume(&self, consumer: &ConsumerSpec) -> Result<Box<dyn Consumer>, Error>;

    /// The last message of `stream` on exactly `subject`.
    async fn last(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Error>;

    /// The first message of `stream` on exactly `subject` with a sequence of at least `from`.
    async fn next(&self, stream: &str, subject: &str, from: u64) -> Result<Option<Stored>, Error>;

    /// The sequence of the first message of `stream` that matches `pattern` and was stored at `since` or later: where a
    /// replay of what is newer begins.
    async fn first_since(&self, stream: &str, pattern: &str, since: Timestamp) -> Result<Option<u64>, Error>;

    /// The messages of `stream` that match `pattern` and have a sequence of at least `from`.
    async fn replay(&self, stream: &str, pattern: &str, from: u64) -> Result<Replay, Error>;

    /// Removes one message.
    async fn remove(&self, stream: &str, sequence: u64) -> Result<(), Error>;

    /// Removes the oldest messages of `stream`, at most `count`.
    async fn trim(&self, stream: &str, count: u64) -> Result<(), Error>;

    /// Removes every message of `stream` on exactly `subject`.
    async fn purge(&self, stream: &str, subject: &str) -> Result<(), Error>;

    /// The subjects of `stream` that match `pattern` and hold messages, each with their number, in order.
    async fn subjects(&self, stream: &str, pattern: &str) -> Result<Vec<(String, u64)>, Error>;

    /// Opens a small key-value bucket; makes it where it is missing.
    async fn bucket(&self, bucket: &BucketSpec) -> Result<Box<dyn Bucket>, Error>;

    /// Sends what is still buffered and closes the connection.
    async fn close(&self);
}

/// A small key-value store. Keys are subject tokens joined by dots.
#[async_trait]
pub trait Bucket: Send + Sync + fmt::Debug {
    /// The value and the revision of `key`.
    async fn get(&self, key: &str) -> Result<Option<(Bytes, u64)>, Error>;

    /// Sets `key`, whatever it was; returns the new revision.
    async fn put(&self, key: &str, value: Bytes) -> Result<u64, Error>;

    /// Sets `key` if it has no value, else `Exists`.
    async fn create(&self, key: &str, value: Bytes) -> Result<u64, Error>;

    /// Sets `key` if its revision is `revision`, else `WrongRevision`.
    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, Error>;

    /// Removes `key`.
    async fn delete(&self, key: &str) -> Result<(), Error>;

    /// All keys that have a value.
    async fn keys(&self) -> Result<Vec<String>, Error>;

    /// What was changed after `revision`, each key once and as it is now, in the order of the changes. From 0 on it is
    /// everything.
    async fn changes(&self, revision: u64) -> Result<Vec<Change>, Error>;
}

/// A change of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of this key.
    pub key: String,
    /// Its value; none where it was removed.
    pub value: Option<Bytes>,
    /// The revision that it has since.
    pub revision: u64,
}

/// What a broker is and what it survives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// In a few words: `memory`, `nats-server 2.15.1 at nats://127.0.0.1:4222`.
    pub name: String,
    /// In one plain sentence: what it survives and what not.
    pub survives: String,
    /// The largest message, in bytes.
    pub message_bytes_max: usize,
}

/// Whether the broker is reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It is.
    Up,
    /// It is not, since this instant.
    Down(tokio::time::Instant),
}
