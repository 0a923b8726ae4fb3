//! A broker in this process that behaves as JetStream does where it matters, with its clock, its randomness and its
//! faults from outside. Survives nothing, shares nothing between two [`Memory::new`], and never runs a task of its own.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::subject::{Pattern, check_subject};
use crate::{
    Broker, Bucket, BucketSpec, Consumer, ConsumerSpec, Description, Error, ErrorKind, Link, Message,
    Publication, Receipt, Replay, Seams, Stored, StreamSpec, Subscription,
};

mod bucket;
mod consumer;
mod counters;
mod effects;
pub mod faults;
mod handle;
mod hold;
pub mod log;
mod promise;
mod pull;
mod repeats;
mod replay;
mod state;
mod stream;
mod subscriber;

pub use counters::Counters;
pub use faults::{Fault, Rule, RuleId};
pub use log::Log;
pub use subscriber::Overflow;

use effects::Effects;
use handle::{Handle, World};
use replay::Cursor;
use state::State;
use subscriber::Subscribers;

/// As much as a managed nats-server takes.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// As many as the NATS clients keep for a subscriber that falls behind.
const SUBSCRIBER_QUEUE_MAX: usize = 65_536;

/// How a memory broker is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The wall clock and the randomness. Deadlines and ages go by tokio's clock.
    pub seams: Seams,
    /// The largest message, headers included.
    pub message_bytes_max: usize,
    /// The most messages that wait for one subscriber.
    pub subscriber_queue_max: usize,
    /// What happens to one more.
    pub overflow: Overflow,
    /// The most events in the [`Log`]; 0 keeps none.
    pub log_entries_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seams: Seams::system(),
            message_bytes_max: MESSAGE_BYTES_MAX,
            subscriber_queue_max: SUBSCRIBER_QUEUE_MAX,
            overflow: Overflow::default(),
            log_entries_max: 0,
        }
    }
}

/// A connection to a broker in this process. A clone is another connection to the same broker: closing one leaves the
/// others open.
#[derive(Debug)]
pub struct Memory {
    handle: Handle,
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        Self { handle: Handle::new(Arc::clone(&self.handle.world)) }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Memory {
    /// A new, empty broker.
    pub fn new(options: Options) -> Self {
        let Options { seams, message_bytes_max, subscriber_queue_max, overflow, log_entries_max } = options;
        let subscribers = Subscribers::new(subscriber_queue_max, overflow);
        let state = State::new(subscribers, Effects::new(seams.clone(), log_entries_max));
        let (link, _) = watch::channel(Link::Up);
        Self {
            handle: Handle::new(Arc::new(World { state: Mutex::new(state), link, seams, message_bytes_max })),
        }
    }

    /// A new, empty broker that is set up as usual but for its clock and its randomness.
    pub fn with_seams(seams: Seams) -> Self {
        Self::new(Options { seams, ..Options::default() })
    }

    /// Adds a fault, from now on. Fails if the pattern of `rule` is none.
    pub fn inject(&self, rule: Rule) -> Result<RuleId, Error> {
        self.handle.world.state.lock().effects.faults.add(rule)
    }

    /// Takes one fault away. What it has held back stays so until its time.
    pub fn heal(&self, rule: RuleId) {
        self.handle.world.state.lock().effects.faults.heal(Some(rule));
    }

    /// Takes all faults away.
    pub fn heal_all(&self) {
        self.handle.world.state.lock().effects.faults.heal(None);
    }

    /// How often a fault has struck.
    pub fn fired(&self, rule: RuleId) -> u64 {
        self.handle.world.state.lock().effects.faults.fired(rule)
    }

    /// Cuts every connection: operations, also those that wait, fail with `Disconnected`. Time goes on, leases lapse.
    pub fn disconnect(&self) {
        let mut state = self.handle.world.state.lock();
        let now = Instant::now();
        let cut = self.handle.world.link.send_if_modified(|link| {
            let up = *link == Link::Up;
            if up {
                *link = Link::Down(now);
            }
            up
        });
        if cut {
            state.effects.counters.disconnects += 1;
            state.effects.log.record(now, || log::Event::Linked(Link::Down(now)));
            state.ring();
        }
    }

    /// Ends [`Self::disconnect`]. Subscriptions and consumers go on as they were.
    pub fn reconnect(&self) {
        let mut state = self.handle.world.state.lock();
        if self.handle.world.link.send_replace(Link::Up) != Link::Up {
            state.effects.log.record(Instant::now(), || log::Event::Linked(Link::Up));
            state.ring();
        }
    }

    /// How often each thing has happened.
    pub fn counters(&self) -> Counters {
        self.handle.world.state.lock().effects.counters
    }

    /// What has happened, in order: a copy of the log as it is now.
    pub fn log(&self) -> Log {
        self.handle.world.state.lock().effects.log.clone()
    }

    fn check(&self, message: &Message) -> Result<(), Error> {
        check_subject(&message.subject)?;
        let (bytes, bytes_max) = (wire_bytes(message), self.handle.world.message_bytes_max);
        if bytes > bytes_max {
            let what = format!("publish to {}: {bytes} bytes, of at most {bytes_max}", message.subject);
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        Ok(())
    }
}

#[async_trait]
impl Broker for Memory {
    fn describe(&self) -> Description {
        Description {
            name: "memory".to_owned(),
            survives: "it lives in this process and survives nothing: what was accepted is gone when the process ends"
                .to_owned(),
            message_bytes_max: self.handle.world.message_bytes_max,
        }
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.handle.world.link.subscribe()
    }

    async fn ensure(&self, streams: &[StreamSpec]) -> Result<(), Error> {
        self.handle.enter(|| "ensure streams".to_owned())?.ensure(streams)
    }

    async fn publish(&self, publication: Publication) -> Result<Receipt, Error> {
        // A loop of publishes, none of which has to wait, must let other tasks run as well.
        tokio::task::coop::consume_budget().await;
        self.check(&publication.message)?;
        let at = self.handle.moment();
        let (receipt, fault) = {
            let mut state = self.handle.enter(|| format!("publish to {}", publication.message.subject))?;
            state.publish(publication, at)?
        };
        if let Some(Fault::SlowAck(delay)) = fault {
            sleep(delay).await;
        }
        Ok(receipt)
    }

    async fn send(&self, message: Message) -> Result<(), Error> {
        tokio::task::coop::consume_budget().await;
        self.check(&message)?;
        let at = self.handle.moment();
        self.handle.enter(|| format!("send to {}", message.subject))?.send(message, at);
        Ok(())
    }

    async fn subscribe(&self, pattern: &str) -> Result<Subscription, Error> {
        let parsed = parse(pattern)?;
        let mut state = self.handle.enter(|| format!("subscribe to {pattern}"))?;
        let (id, bell) = state.subscribers.add(pattern, parsed);
        Ok(subscriber::listen(self.handle.clone(), id, bell))
    }

    async fn consume(&self, consumer: &ConsumerSpec) -> Result<Box<dyn Consumer>, Error> {
        let name = format!("{}/{}", consumer.stream, consumer.name);
        let mut state = self.handle.enter(|| format!("open {name}"))?;
        let (stream_index, stream, effects) = state.stream(&consumer.stream)?;
        let index = stream.open(consumer, Instant::now(), effects)?;
        let bell = Arc::clone(&stream.consumers[index].bell);
        Ok(Box::new(pull::Puller::new(self.handle.clone(), (stream_index, index), name, bell)))
    }

    async fn last(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Error> {
        let mut state = self.handle.enter(|| format!("read {subject}"))?;
        let (_, stream, effects) = state.stream(stream)?;
        Ok(stream.last(subject, Instant::now(), effects))
    }

    async fn replay(&self, stream: &str, pattern: &str, from: u64) -> Result<Replay, Error> {
        let parsed = parse(pattern)?;
        let to = {
            let mut state = self.handle.enter(|| format!("replay {stream}"))?;
            let (_, stream, effects) = state.stream(stream)?;
            stream.expire(Instant::now(), effects);
            stream.sequence_last()
        };
        let (stream, text) = (stream.to_owned(), pattern.to_owned());
        Ok(replay::replay(Cursor { handle: self.handle.clone(), stream, text, pattern: parsed, from, to }))
    }

    async fn remove(&self, stream: &str, sequence: u64) -> Result<(), Error> {
        let mut state = self.handle.enter(|| format!("remove {sequence} of {stream}"))?;
        let (_, found, effects) = state.stream(stream)?;
        found.expire(Instant::now(), effects);
        if found.discard(sequence) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, format!("stream {stream} has no message {sequence}")))
    }

    async fn trim(&self, stream: &str, count: u64) -> Result<(), Error> {
        let mut state = self.handle.enter(|| format!("trim {stream}"))?;
        let (_, found, effects) = state.stream(stream)?;
        found.trim(count, Instant::now(), effects);
        Ok(())
    }

    async fn backlog(&self, stream: &str, name: &str) -> Result<u64, Error> {
        let mut state = self.handle.enter(|| format!("backlog of {stream}/{name}"))?;
        let (_, found, effects) = state.stream(stream)?;
        found.expire(Instant::now(), effects);
        let consumer = found.consumers.iter().find(|consumer| consumer.spec.name == name);
        let missing = || Error::new(ErrorKind::NotFound, format!("stream {stream} has no consumer {name}"));
        Ok(consumer.ok_or_else(missing)?.waiting())
    }

    async fn bucket(&self, bucket: &BucketSpec) -> Result<Box<dyn Bucket>, Error> {
        if !bucket::is_name(&bucket.name) {
            let what = format!("`{}` is not a bucket: letters, digits, `-` and `_`", bucket.name);
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let mut state = self.handle.enter(|| format!("open bucket {}", bucket.name))?;
        let values = || bucket::Values::new(bucket.age_max);
        state.buckets.entry(bucket.name.clone()).or_insert_with(values);
        Ok(Box::new(bucket::Opened::new(self.handle.clone(), bucket.name.clone())))
    }

    async fn close(&self) {
        self.handle.close();
    }
}

fn parse(pattern: &str) -> Result<Pattern, Error> {
    Pattern::parse(pattern)
        .ok_or_else(|| Error::new(ErrorKind::Invalid, format!("`{pattern}` is not a pattern")))
}

/// The bytes of headers and body, about as NATS counts them.
fn wire_bytes(message: &Message) -> usize {
    // `: ` and a line break for each.
    let headers: usize = message.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    headers + message.payload.len()
}
