//! The two brokers, and the few words in which cases are written.

use std::{sync::Arc, time::Duration};

use broker::{
    Broker, BucketSpec, Consumer, ConsumerSpec, Error, ErrorKind, Headers, Lease, Message, Publication,
    Receipt, Retention, Storage, Stored, StreamSpec,
    jetstream::{Config, JetStream},
    memory::Memory,
    testing::Server,
};
use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::time::{sleep, timeout};

/// How long to wait for what must happen. Only a broken broker takes as long.
pub(crate) const WITHIN: Duration = Duration::from_secs(20);
/// How long a lease lasts in cases that wait for its end.
pub(crate) const SHORT: Duration = Duration::from_millis(400);
/// How long a lease lasts in all other cases: longer than they run.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// How long to look for what must not happen. Too short a look can only miss a fault, never invent one.
pub(crate) const A_WHILE: Duration = Duration::from_millis(300);

/// A broker, and the server behind it.
pub(crate) struct World {
    pub(crate) broker: Arc<dyn Broker>,
    _server: Option<Server>,
}

/// A new broker in memory.
pub(crate) fn memory_broker() -> World {
    World { broker: Arc::new(Memory::default()), _server: None }
}

/// A new nats-server, and a connection to it.
pub(crate) async fn jetstream_broker() -> World {
    let server = Server::start().await;
    let broker = JetStream::connect(Config::new(server.url())).await.expect("a server that can be reached");
    World { broker: Arc::new(broker), _server: Some(server) }
}

/// A stream `Q` of `q.>` from which an ack removes.
pub(crate) fn work_queue() -> StreamSpec {
    StreamSpec { retention: Retention::WorkQueue, ..stream("Q", "q.>") }
}

/// A stream that keeps everything.
pub(crate) fn stream(name: &str, subjects: &str) -> StreamSpec {
    StreamSpec {
        name: name.to_owned(),
        subjects: vec![subjects.to_owned()],
        retention: Retention::Limits,
        storage: Storage::Memory,
        age_max: None,
        messages_max: None,
        bytes_max: None,
        first_wins: false,
        discard_old: false,
        duplicate_window: Duration::from_secs(120),
    }
}

/// The one consumer of the stream `Q`.
pub(crate) fn worker(ack_wait: Duration) -> ConsumerSpec {
    ConsumerSpec {
        stream: "Q".to_owned(),
        name: "worker".to_owned(),
        filter: "q.>".to_owned(),
        ack_wait,
        ack_pending_max: 1000,
    }
}

/// Makes the stream `Q` and opens its one consumer.
pub(crate) async fn open_worker(broker: &dyn Broker, ack_wait: Duration) -> Box<dyn Consumer> {
    broker.ensure(&[work_queue()]).await.unwrap();
    broker.consume(&worker(ack_wait)).await.unwrap()
}

/// A bucket that keeps its values.
pub(crate) fn bucket() -> BucketSpec {
    BucketSpec { name: "settings".to_owned(), age_max: None, storage: Storage::Memory }
}

/// A message without headers.
pub(crate) fn message(subject: &str, body: &str) -> Message {
    let payload = Bytes::copy_from_slice(body.as_bytes());
    Message { subject: subject.to_owned(), headers: Headers::new(), payload }
}

/// Publishes without an id.
pub(crate) async fn publish(broker: &dyn Broker, subject: &str, body: &str) -> Result<Receipt, Error> {
    broker.publish(Publication { message: message(subject, body), id: None }).await
}

/// Publishes with an id.
pub(crate) async fn publish_as(
    broker: &dyn Broker,
    id: &str,
    subject: &str,
    body: &str,
) -> Result<Receipt, Error> {
    broker.publish(Publication { message: message(subject, body), id: Some(id.to_owned()) }).await
}

/// Publishes bodies `0` to `count - 1`.
pub(crate) async fn publish_many(broker: &dyn Broker, subject: &str, count: usize) {
    for body in 0..count {
        publish(broker, subject, &body.to_string()).await.unwrap();
    }
}

/// Pulls one message.
pub(crate) async fn pull_one(consumer: &mut dyn Consumer) -> Lease {
    let mut leases = pull_some(consumer, 1).await;
    assert_eq!(leases.len(), 1, "one message for a credit of one");
    leases.remove(0)
}

/// Pulls with a credit, once.
pub(crate) async fn pull_some(consumer: &mut dyn Consumer, credit: usize) -> Vec<Lease> {
    timeout(WITHIN, consumer.pull(credit)).await.expect("a message in time").unwrap()
}

/// Pulls until there are so many.
pub(crate) async fn pull_all(consumer: &mut dyn Consumer, count: usize) -> Vec<Lease> {
    let mut leases = Vec::new();
    while leases.len() < count {
        leases.extend(pull_some(consumer, count - leases.len()).await);
    }
    leases
}

/// Sees that nothing can be pulled.
pub(crate) async fn assert_no_message(consumer: &mut dyn Consumer) {
    let pulled = timeout(A_WHILE, consumer.pull(10)).await;
    assert!(pulled.is_err(), "nothing to pull, got {pulled:?}");
}

/// Everything that a stream holds on `pattern`.
pub(crate) async fn stored(broker: &dyn Broker, name: &str, pattern: &str) -> Vec<Stored> {
    broker.replay(name, pattern, 1).await.unwrap().try_collect().await.unwrap()
}

/// Waits until a stream holds so many messages: acks and sends are not waited for.
pub(crate) async fn until_stored(broker: &dyn Broker, name: &str, pattern: &str, count: usize) {
    until(async || stored(broker, name, pattern).await.len() == count).await;
}

/// Waits until `holds`.
pub(crate) async fn until(holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(WITHIN, waiting).await.expect("what must happen, in time");
}

/// The body of a message as text.
pub(crate) fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

/// The kind of the error that must be there.
#[track_caller]
pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.expect_err("an error").kind()
}
