//! What happened in a memory broker, in order, and assertions about it. Off by default, and always bounded.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::class::FaultClass;
use crate::{ErrorKind, Link, Message, Settlement, message::MESSAGE_ID};

mod text;

/// The latest events of a memory broker: as many as [`super::Options::log_entries_max`].
#[derive(Debug, Clone, Default)]
pub struct Log {
    // None if there is no log; the lines give times relative to this.
    origin: Option<Instant>,
    entries: VecDeque<Entry>,
    entries_max: usize,
    forgotten: u64,
}

/// One event and its time.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When it happened.
    pub at: Instant,
    /// What happened.
    pub event: Event,
}

/// What can happen to a message, or to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A stream stored it.
    Published(Name),
    /// It was a repeat; the sequence is that of the first message.
    Repeated(Name),
    /// The broker did not take it.
    Refused(Name, ErrorKind),
    /// A fault lost it on its way to the broker.
    Lost(Name),
    /// A fault lost its publish ack.
    AckLost(Name),
    /// It reached a reader for the first time.
    Delivered(Name, Reader),
    /// It reached a consumer once more.
    Redelivered(Name, Reader, u32),
    /// It did not reach a reader.
    Dropped(Name, Reader, Cause),
    /// A fault delivered it twice.
    Duplicated(Name, Reader),
    /// A fault held it back.
    Delayed(Name, Reader, Duration),
    /// A consumer settled it.
    Settled(Name, Reader, Settlement),
    /// A fault lost a settlement on its way to the broker.
    SettlementLost(Name, Reader, Settlement),
    /// A fault delayed a settlement by this much.
    SettlementLate(Name, Reader, Settlement, Duration),
    /// It left its stream unsettled, by age or by limit.
    Discarded(Name),
    /// It was acknowledged, and a power failure lost it.
    Unsynced(Name),
    /// It had left its stream, and a power failure brought it back.
    Restored(Name),
    /// This many leases of a consumer ran out before their time.
    LeasesEnded(Reader, u64),
    /// A consumer was deleted, or went with its stream.
    ConsumerGone(Reader),
    /// A consumer that was gone has been re-created.
    ConsumerMade(Reader),
    /// A stream went, with this many messages.
    StreamGone(String, u64),
    /// A stream that was gone has been re-created.
    StreamMade(String),
    /// A stream forgot this many ids.
    IdsForgotten(String, u64),
    /// A fault class was switched on or off.
    Switched(FaultClass, bool),
    /// The link went up or down.
    Linked(Link),
}

/// Why a message did not reach a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The reader's queue was full.
    Overflow,
    /// A fault dropped it.
    Fault,
}

/// What identifies a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its subject.
    pub subject: String,
    /// The id it was published with.
    pub id: Option<String>,
    /// Its sequence in the stream that holds it.
    pub sequence: Option<u64>,
}

/// A reader, shown as `evt.>#3` (the third subscription of this broker) or `WORK/gpt` (a consumer of a stream).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reader {
    /// A subscription.
    Subscriber {
        /// Its pattern.
        pattern: Arc<str>,
        /// Which subscription of this broker it is, from 1.
        id: u64,
    },
    /// A consumer, whichever of its handles reads.
    Consumer {
        /// Its stream.
        stream: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
}

impl Log {
    /// A log of at most `entries_max` events that begins at `origin`; none at all if the limit is 0.
    pub(super) fn new(origin: Instant, entries_max: usize) -> Self {
        Self { origin: Some(origin), entries: VecDeque::new(), entries_max, forgotten: 0 }
    }

    /// Adds an event if there is a log; otherwise `event` is not called.
    pub(super) fn record(&mut self, at: Instant, event: impl FnOnce() -> Event) {
        if self.entries_max == 0 {
            return;
        }
        if self.entries.len() == self.entries_max {
            self.entries.pop_front();
            self.forgotten += 1;
        }
        self.entries.push_back(Entry { at, event: event() });
    }

    /// The events, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many events had to make room for later ones.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Everything that reached `reader`, in order. A pattern or a consumer's name alone stands for all that have it.
    pub fn deliveries<'a>(&'a self, reader: &'a str) -> impl Iterator<Item = &'a Name> {
        self.entries.iter().filter_map(move |entry| match &entry.event {
            Event::Delivered(name, by) | Event::Redelivered(name, by, _) if by.is(reader) => Some(name),
            _ => None,
        })
    }

    /// Asserts that the `nth` delivery (from 1) to `reader` was the message `what`: a subject or an id.
    ///
    /// # Panics
    ///
    /// If it was not; the message lists what the reader got.
    #[track_caller]
    pub fn assert_delivered(&self, what: &str, reader: &str, nth: usize) {
        self.assert_whole();
        let names: Vec<_> = self.deliveries(reader).collect();
        let is_it = nth.checked_sub(1).and_then(|index| names.get(index)).is_some_and(|name| name.is(what));
        assert!(is_it, "delivery {nth} to {reader} is not {what}; it got {names:#?}");
    }

    /// Asserts that `what` never reached `reader`.
    ///
    /// # Panics
    ///
    /// If it did.
    #[track_caller]
    pub fn assert_not_delivered(&self, what: &str, reader: &str) {
        self.assert_whole();
        let count = self.deliveries(reader).filter(|name| name.is(what)).count();
        assert!(count == 0, "{what} reached {reader} {count} times");
    }

    #[track_caller]
    fn assert_whole(&self) {
        assert!(self.entries_max > 0, "the log is off: set Options::log_entries_max");
        assert!(
            self.forgotten == 0,
            "the log forgot {} events: raise Options::log_entries_max",
            self.forgotten
        );
    }
}

impl Name {
    /// The name of a message that may be in a stream.
    pub(super) fn of(message: &Message, sequence: Option<u64>) -> Self {
        let id = message.headers.get(MESSAGE_ID).map(ToOwned::to_owned);
        Self { subject: message.subject.clone(), id, sequence }
    }

    /// Whether `what` is its subject or its id.
    pub fn is(&self, what: &str) -> bool {
        self.subject == what || self.id.as_deref() == Some(what)
    }
}

impl Reader {
    /// Whether `name` means this reader: its pattern, its consumer name, or the full form.
    pub fn is(&self, name: &str) -> bool {
        match self {
            Self::Subscriber { pattern, .. } if **pattern == *name => true,
            Self::Consumer { name: have, .. } if **have == *name => true,
            _ => self.to_string() == name,
        }
    }
}
