//! A broker in this process that behaves as JetStream does where it matters; its caller supplies clock, randomness and
//! faults. Survives nothing, shares nothing between two [`Memory::new`], and never runs a task of its own.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot, watch},
    time::{Instant, sleep},
};

use crate::subject::{check_subject, parse};
use crate::{
    Broker, Bucket, BucketSpec, Consumer, ConsumerSpec, Description, Error, ErrorKind, Link, Message,
    Publication, Receipt, Replay, Seams, Stored, StreamSpec, Subscription,
};

mod bucket;
pub mod class;
mod consumer;
mod counters;
mod effects;
pub mod faults;
mod freeze;
mod handle;
mod hold;
pub mod log;
mod nemesis;
mod outage;
mod promise;
mod pull;
mod repeats;
mod replay;
mod settle;
mod state;
mod stream;
mod subscriber;
mod sync;

pub use class::{FaultClass, Reach};
pub use counters::Counters;
pub use effects::{Undoing, Undone};
pub use faults::{Fault, Rule, RuleId};
pub use log::Log;
pub use subscriber::Overflow;

use effects::Effects;
use freeze::Late;
use handle::{Handle, World};
use replay::Cursor;
use state::State;
use subscriber::Subscribers;
use sync::Sync;

/// The same as a managed nats-server.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// The same as a NATS client keeps for a subscriber that falls behind.
const SUBSCRIBER_QUEUE_MAX: usize = 65_536;

/// How a memory broker is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The wall clock and the randomness. Deadlines and ages use tokio's clock.
    pub seams: Seams,
    /// The largest message, headers included.
    pub message_bytes_max: usize,
    /// The most messages that wait for one subscriber.
    pub subscriber_queue_max: usize,
    /// What happens to a further message.
    pub overflow: Overflow,
    /// How often streams and buckets in files are synced to the disk, and so what [`FaultClass::PowerFailure`] can take
    /// away. None: at once after each change, so that neither a power failure nor a kill takes anything.
    pub sync_interval: Option<Duration>,
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
            sync_interval: None,
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
        let Options { seams, message_bytes_max, subscriber_queue_max, .. } = options;
        let origin = Instant::now();
        let subscribers = Subscribers::new(subscriber_queue_max, options.overflow);
        let effects = Effects::new(seams.clone(), origin, options.log_entries_max);
        let state = Mutex::new(State::new(subscribers, effects, Sync::new(origin, options.sync_interval)));
        let (link, _) = watch::channel(Link::Up);
        let world = World { state, link, seams, message_bytes_max, thawed: Notify::new() };
        Self { handle: Handle::new(Arc::new(world)) }
    }

    /// A new, empty broker with the default options, except for its clock and its randomness.
    pub fn with_seams(seams: Seams) -> Self {
        Self::new(Options { seams, ..Options::default() })
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

    fn now(&self) -> Timestamp {
        self.handle.world.seams.clock.now()
    }

    async fn ensure(&self, streams: &[StreamSpec]) -> Result<(), Error> {
        self.handle.ask(|| "ensure streams".to_owned()).await?.ensure(streams)
    }

    async fn publish(&self, publication: Publication) -> Result<Receipt, Error> {
        // A loop of publishes that never have to wait must let other tasks run as well.
        tokio::task::coop::consume_budget().await;
        self.check(&publication.message)?;
        let at = self.handle.moment();
        let (subject, patience) = (publication.message.subject.clone(), freeze::patience(&publication));
        let doing = || format!("publish to {subject}");
        let (answer, thawed) = oneshot::channel();
        let published = {
            let mut state = self.handle.enter(doing)?;
            let now = state.hold_back(publication, |publication| Late::Publish(publication, answer))?;
            now.map(|publication| state.publish(publication, at)).transpose()?
        };
        let Some((receipt, fault)) = published else {
            return freeze::answer(thawed, patience, doing).await;
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
        let mut state = self.handle.enter(|| format!("send to {}", message.subject))?;
        if let Some(message) = state.hold_back(message, Late::Send)? {
            state.send(message, at);
        }
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
        let mut state = self.handle.ask(|| format!("open {name}")).await?;
        let (stream_index, stream, effects) = state.stream(&consumer.stream)?;
        let index = stream.open(consumer, Instant::now(), effects)?;
        let bell = Arc::clone(&stream.consumers[index].bell);
        Ok(Box::new(pull::Puller::new(self.handle.clone(), (stream_index, index), consumer.clone(), bell)))
    }

    async fn last(&self, stream: &str, subject: &str) -> Result<Option<Stored>, Error> {
        let mut state = self.handle.ask(|| format!("read {subject}")).await?;
        let (_, stream, effects) = state.stream(stream)?;
        Ok(stream.last(subject, Instant::now(), effects))
    }

    async fn next(&self, stream: &str, subject: &str, from: u64) -> Result<Option<Stored>, Error> {
        let mut state = self.handle.ask(|| format!("read {subject}")).await?;
        let (_, stream, effects) = state.stream(stream)?;
        Ok(stream.next(subject, from, Instant::now(), effects))
    }

    async fn first_since(&self, stream: &str, pattern: &str, since: Timestamp) -> Result<Option<u64>, Error> {
        let parsed = parse(pattern)?;
        let mut state = self.handle.ask(|| format!("read {stream}")).await?;
        let (_, stream, effects) = state.stream(stream)?;
        stream.expire(Instant::now(), effects);
        Ok(stream.first_since(&parsed, since))
    }

    async fn replay(&self, stream: &str, pattern: &str, from: u64) -> Result<Replay, Error> {
        let parsed = parse(pattern)?;
        let to = {
            let mut state = self.handle.ask(|| format!("replay {stream}")).await?;
            let (_, stream, effects) = state.stream(stream)?;
            stream.expire(Instant::now(), effects);
            stream.sequence_last()
        };
        let (stream, text) = (stream.to_owned(), pattern.to_owned());
        Ok(replay::replay(Cursor { handle: self.handle.clone(), stream, text, pattern: parsed, from, to }))
    }

    async fn remove(&self, stream: &str, sequence: u64) -> Result<(), Error> {
        let mut state = self.handle.ask(|| format!("remove {sequence} of {stream}")).await?;
        let (found, effects) = state.standing(stream)?;
        if found.remove(sequence, Instant::now(), effects) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, format!("stream {stream} has no message {sequence}")))
    }

    async fn trim(&self, stream: &str, count: u64) -> Result<(), Error> {
        let mut state = self.handle.ask(|| format!("trim {stream}")).await?;
        let (found, effects) = state.standing(stream)?;
        found.trim(count, Instant::now(), effects);
        Ok(())
    }

    async fn purge(&self, stream: &str, subject: &str) -> Result<(), Error> {
        let mut state = self.handle.ask(|| format!("purge {subject}")).await?;
        let (found, effects) = state.standing(stream)?;
        found.purge(subject, Instant::now(), effects);
        Ok(())
    }

    async fn subjects(&self, stream: &str, pattern: &str) -> Result<Vec<(String, u64)>, Error> {
        let parsed = parse(pattern)?;
        let mut state = self.handle.ask(|| format!("subjects of {stream}")).await?;
        let (_, found, effects) = state.stream(stream)?;
        found.expire(Instant::now(), effects);
        Ok(found.subjects(&parsed))
    }

    async fn bucket(&self, bucket: &BucketSpec) -> Result<Box<dyn Bucket>, Error> {
        if !bucket::is_name(&bucket.name) {
            let what = format!("`{}` is not a bucket: letters, digits, `-` and `_`", bucket.name);
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let mut state = self.handle.ask(|| format!("open bucket {}", bucket.name)).await?;
        state.open_bucket(bucket);
        Ok(Box::new(bucket::Opened::new(self.handle.clone(), bucket.name.clone())))
    }

    async fn close(&self) {
        self.handle.close();
    }
}

/// The bytes of headers and body, about as NATS counts them.
fn wire_bytes(message: &Message) -> usize {
    // `: ` and a line break per header.
    let headers: usize = message.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    headers + message.payload.len()
}
