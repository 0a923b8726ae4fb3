//! The two brokers, and the few words in which cases are written.

use std::{sync::Arc, time::Duration};

use broker::{
    Broker, BucketSpec, Consumer, ConsumerSpec, Error, ErrorKind, Headers, Lease, Link, Message, Publication,
    Receipt, Retention, Storage, Stored, StreamSpec,
    jetstream::{Config, JetStream},
    memory::{FaultClass, Memory, Reach},
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

/// A broker, and what is behind it.
pub(crate) struct World {
    pub(crate) broker: Arc<dyn Broker>,
    behind: Behind,
}

enum Behind {
    Memory(Memory),
    Server(Box<Server>),
}

/// A new broker in memory.
pub(crate) fn memory_broker() -> World {
    let memory = Memory::default();
    World { broker: Arc::new(memory.clone()), behind: Behind::Memory(memory) }
}

/// A new nats-server, and a connection to it.
pub(crate) async fn jetstream_broker() -> World {
    let server = Server::start().await;
    let broker = JetStream::connect(Config::new(server.url())).await.expect("a server that can be reached");
    World { broker: Arc::new(broker), behind: Behind::Server(Box::new(server)) }
}

impl World {
    /// Kills the broker's process, and starts it again.
    pub(crate) async fn restart(&mut self) {
        match &mut self.behind {
            Behind::Memory(memory) => {
                memory.switch_on(FaultClass::Restart, &Reach::default()).unwrap();
                memory.switch_off(FaultClass::Restart);
            }
            Behind::Server(server) => {
                server.kill().await;
                until_link(&*self.broker, |link| matches!(link, Link::Down(_))).await;
                server.restart().await;
            }
        }
        until_link(&*self.broker, |link| *link == Link::Up).await;
    }

    /// Freezes the broker.
    pub(crate) fn freeze(&self) {
        match &self.behind {
            Behind::Memory(memory) => memory.switch_on(FaultClass::Freeze, &Reach::default()).unwrap(),
            Behind::Server(server) => server.stop(),
        }
    }

    /// Ends [`Self::freeze`].
    pub(crate) fn thaw(&self) {
        match &self.behind {
            Behind::Memory(memory) => memory.switch_off(FaultClass::Freeze),
            Behind::Server(server) => server.cont(),
        }
    }

    /// Deletes the stream `Q` behind the back of who uses it.
    pub(crate) async fn delete_stream(&self) {
        match &self.behind {
            Behind::Memory(memory) => memory.switch_on(FaultClass::DeleteStream, &queue_reach()).unwrap(),
            Behind::Server(server) => {
                let client = async_nats::connect(server.url()).await.unwrap();
                async_nats::jetstream::new(client).delete_stream("Q").await.unwrap();
            }
        }
    }

    /// Deletes the consumer of the stream `Q` behind the back of who uses it.
    pub(crate) async fn delete_consumer(&self) {
        match &self.behind {
            Behind::Memory(memory) => memory.switch_on(FaultClass::DeleteConsumer, &queue_reach()).unwrap(),
            Behind::Server(server) => {
                let client = async_nats::connect(server.url()).await.unwrap();
                let stream = async_nats::jetstream::new(client).get_stream("Q").await.unwrap();
                stream.delete_consumer("worker").await.unwrap();
            }
        }
    }
}

async fn until_link(broker: &dyn Broker, wanted: impl Fn(&Link) -> bool) {
    let mut link = broker.link();
    timeout(WITHIN, link.wait_for(|link| wanted(link))).await.expect("the link, in time").unwrap();
}

fn queue_reach() -> Reach {
    Reach { pattern: "q.>".to_owned(), ..Reach::default() }
}

/// The stream `Q`, on disk.
pub(crate) fn durable_queue() -> StreamSpec {
    StreamSpec { storage: Storage::File, ..work_queue() }
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
        bells: None,
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
        idle_max: None,
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
    assert_eq!(leases.len(), 1, "one message where one is asked for");
    leases.remove(0)
}

/// Pulls once.
pub(crate) async fn pull_some(consumer: &mut dyn Consumer, max: usize) -> Vec<Lease> {
    let leases = consumer.pull(max, WITHIN).await.unwrap();
    assert!(!leases.is_empty(), "a message in time");
    leases
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
    let pulled = consumer.pull(10, A_WHILE).await.unwrap();
    assert!(pulled.is_empty(), "nothing to pull, got {pulled:?}");
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
