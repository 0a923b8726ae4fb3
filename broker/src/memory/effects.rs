//! The surroundings of a memory broker's messages: faults go in, counters and log come out.

use tokio::time::Instant;

use super::{
    counters::Counters,
    faults::{Fault, Faults, Place},
    log::{Cause, Event, Log, Name, Reader},
};
use crate::{Error, Message, Seams};

/// The faults, the counters and the log of one broker.
#[derive(Debug)]
pub(super) struct Effects {
    pub(super) faults: Faults,
    pub(super) counters: Counters,
    pub(super) log: Log,
    /// What the last power failure or kill undid.
    pub(super) undone: Vec<Undone>,
}

/// A message that a power failure reverted to the last sync, or a kill to the last write, although what had happened
/// since was acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub struct Undone {
    /// The message.
    pub message: Message,
    /// What was undone.
    pub what: Undoing,
}

/// What was undone of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undoing {
    /// That it was stored: it is gone.
    Stored,
    /// That it was removed: it is back.
    Removed,
    /// That it was delivered or given back: its deliveries count from an earlier number.
    Delivered,
}

/// How many times one delivery arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    Never,
    Once,
    Twice,
}

impl Effects {
    /// No faults, and a log of at most `log_entries_max` that begins at `origin`.
    pub(super) fn new(seams: Seams, origin: Instant, log_entries_max: usize) -> Self {
        let log = Log::new(origin, log_entries_max);
        Self { faults: Faults::new(seams), counters: Counters::default(), log, undone: Vec::new() }
    }

    /// Notes that this of `message` was undone.
    pub(super) fn undo(&mut self, message: &Message, what: Undoing) {
        self.undone.push(Undone { message: message.clone(), what });
    }

    /// When a message sets out to its reader, if a fault delays it.
    pub(super) fn due(
        &mut self,
        message: &Message,
        sequence: Option<u64>,
        to: &Reader,
        now: Instant,
    ) -> Option<Instant> {
        let delay = self.faults.delay(message, to)?;
        self.counters.delayed += 1;
        self.log.record(now, || Event::Delayed(Name::of(message, sequence), to.clone(), delay));
        Some(now + delay)
    }

    /// How many times a delivery that sets out now arrives.
    pub(super) fn arrival(
        &mut self,
        message: &Message,
        sequence: Option<u64>,
        to: &Reader,
        now: Instant,
    ) -> Arrival {
        match self.faults.strike(Place::Delivery, message, Some(to)) {
            Some(Fault::Drop) => {
                self.counters.dropped += 1;
                self.log
                    .record(now, || Event::Dropped(Name::of(message, sequence), to.clone(), Cause::Fault));
                Arrival::Never
            }
            Some(Fault::Duplicate) => {
                self.counters.duplicated += 1;
                self.log.record(now, || Event::Duplicated(Name::of(message, sequence), to.clone()));
                Arrival::Twice
            }
            _ => Arrival::Once,
        }
    }

    /// Counts and logs a refused message.
    pub(super) fn refused(&mut self, message: &Message, refusal: Error, now: Instant) -> Error {
        self.counters.refused += 1;
        self.log.record(now, || Event::Refused(Name::of(message, None), refusal.kind()));
        refusal
    }

    /// Counts and logs that a message has reached its reader, for the `deliveries`th time.
    pub(super) fn delivered(
        &mut self,
        message: &Message,
        sequence: Option<u64>,
        to: &Reader,
        deliveries: u32,
        now: Instant,
    ) {
        if deliveries > 1 {
            self.counters.redelivered += 1;
            self.log.record(now, || Event::Redelivered(Name::of(message, sequence), to.clone(), deliveries));
        } else {
            self.counters.delivered += 1;
            self.log.record(now, || Event::Delivered(Name::of(message, sequence), to.clone()));
        }
    }
}
