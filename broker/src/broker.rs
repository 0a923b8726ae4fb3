//! The one trait between Dynode and its message broker.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{BucketSpec, Consumer, ConsumerSpec, Error, Message, Publication, Receipt, Stored, StreamSpec};

/// Live messages of a subscription, in order within each subject. Ends when the broker drops the subscription. At most
/// once: a reader that falls behind loses messages and must read them from the stream.
pub type Subscription = BoxStream<'static, Message>;

/// Stored messages, oldest first, up to the end of the stream at the time the replay began.
pub type Replay = BoxStream<'static, Result<Stored, Error>>;

/// Carries messages. [`crate::jetstream::JetStream`] and [`crate::memory::Memory`] implement it; one conformance suite
/// holds both to the same behaviour.
#[async_trait]
pub trait Broker: Send + Sync + fmt::Debug + 'static {
    /// What the broker is and what it survives, for the start banner.
    fn describe(&self) -> Description;

    /// Whether the broker is reachable, and every change.
    fn link(&self) -> watch::Receiver<Link>;

    /// The broker's time of day, used for `stored_at` and all deadlines. No step of this machine's clock moves it.
    fn now(&self) -> Timestamp;

    /// Makes sure that these streams exist and hold what they promise. If a stream exists with a weaker promise
    /// (discards old messages, too small a window), the error is `Invalid` and names the setting and the mend.
    async fn ensure(&self, streams: &[StreamSpec]) -> Result<(), Error>;

    /// Stores a message; returns when the broker has acknowledged it. After an error that leaves the result unknown
    /// (`Timeout`, `Disconnected`), publish it again with the same id.
    async fn publish(&self, publication: Publication) -> Result<Receipt, Error>;

    /// Sends a message to the current subscribers, and to the stream that captures its subject, without waiting for
    /// either. Messages of one sender on one subject stay in order. At most once.
    async fn send(&self, message: Message) -> Result<(), Error>;

    /// Subscribes to `pattern` (`*` is one token, `>` the rest). The subscription gets everything that this handle
    /// sends after the call returns.
    async fn subscribe(&self, pattern: &str) -> Result<Subscription, Error>;

    /// Opens a durable consumer; creates it if it is missing.
    async fn consume(&self, consumer: &ConsumerSpec) -> Result<Box<dyn Consumer>, Error>;

    /// The last message of `stream` on exactly `subject`.
    async fn last(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Error>;

    /// The first message of `stream` on exactly `subject` with a sequence of at least `from`.
    async fn next(&self, stream: &str, subject: &str, from: u64) -> Result<Option<Stored>, Error>;

    /// The sequence of the first message of `stream` that matches `pattern` and was stored at `since` or later: where a
    /// replay of newer messages begins.
    async fn first_since(&self, stream: &str, pattern: &str, since: Timestamp) -> Result<Option<u64>, Error>;

    /// The messages of `stream` that match `pattern` and have a sequence of at least `from`.
    async fn replay(&self, stream: &str, pattern: &str, from: u64) -> Result<Replay, Error>;

    /// Removes one message.
    async fn remove(&self, stream: &str, sequence: u64) -> Result<(), Error>;

    /// Removes the oldest messages of `stream`, at most `count`.
    async fn trim(&self, stream: &str, count: u64) -> Result<(), Error>;

    /// Removes every message of `stream` on exactly `subject`.
    async fn purge(&self, stream: &str, subject: &str) -> Result<(), Error>;

    /// The subjects of `stream` that match `pattern` and hold messages, each with its message count, sorted.
    async fn subjects(&self, stream: &str, pattern: &str) -> Result<Vec<(String, u64)>, Error>;

    /// Opens a small key-value bucket; creates it if it is missing.
    async fn bucket(&self, bucket: &BucketSpec) -> Result<Box<dyn Bucket>, Error>;

    /// Sends all buffered messages and closes the connection.
    async fn close(&self);
}

/// A small key-value store. Keys are subject tokens joined by dots.
#[async_trait]
pub trait Bucket: Send + Sync + fmt::Debug {
    /// The value and the revision of `key`.
    async fn get(&self, key: &str) -> Result<Option<(Bytes, u64)>, Error>;

    /// Sets `key` unconditionally; returns the new revision.
    async fn put(&self, key: &str, value: Bytes) -> Result<u64, Error>;

    /// Sets `key` if it has no value; otherwise fails with `Exists`.
    async fn create(&self, key: &str, value: Bytes) -> Result<u64, Error>;

    /// Sets `key` if its revision is `revision`; otherwise fails with `WrongRevision`.
    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, Error>;

    /// Removes `key`.
    async fn delete(&self, key: &str) -> Result<(), Error>;

    /// All keys that have a value.
    async fn keys(&self) -> Result<Vec<String>, Error>;

    /// The keys changed after `revision`, each once with its current value, in the order of the changes. From 0 it
    /// returns everything.
    async fn changes(&self, revision: u64) -> Result<Vec<Change>, Error>;
}

/// A change in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key that changed.
    pub key: String,
    /// Its value; none if it was removed.
    pub value: Option<Bytes>,
    /// Its revision since that change.
    pub revision: u64,
}

/// What a broker is and what it survives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// In a few words: `memory`, `nats-server 2.15.1 at nats://127.0.0.1:4222`.
    pub name: String,
    /// What it survives and what it does not, in one plain sentence.
    pub survives: String,
    /// The largest message, in bytes.
    pub message_bytes_max: usize,
}

/// Whether the broker is reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It is reachable.
    Up,
    /// It has been unreachable since this instant.
    Down(tokio::time::Instant),
}
