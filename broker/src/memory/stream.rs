//! A stream: the messages it keeps, in order, and its consumers. Pure: callers pass in the time.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    consumer::{Consumer, Settled},
    effects::{Arrival, Effects},
    log::{Event, Name},
    repeats::Repeats,
    sync::Sync,
};
use crate::subject::Pattern;
use crate::{
    ConsumerSpec, Error, ErrorKind, Message, Receipt, Retention, Settlement, Stored, StreamSpec,
    message::{LAST_OF_SUBJECT, MESSAGE_ID},
};

mod tail;

use tail::Tail;

/// The most messages that one step of a replay examines, so that a long replay holds the lock for well under a
/// millisecond at a time.
const REPLAY_STEP_MAX: usize = 1024;

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) spec: StreamSpec,
    pub(super) consumers: Vec<Consumer>,
    entries: BTreeMap<u64, Entry>,
    // The sequences of each subject, in order.
    subjects: HashMap<String, VecDeque<u64>>,
    bytes: u64,
    sequence_last: u64,
    repeats: Repeats,
    // Second deliveries that a fault has made, by consumer: they come whatever happens to the first.
    doubles: BTreeMap<usize, VecDeque<Delivery>>,
    tail: Tail,
    // Deleted, until a caller re-creates it.
    gone: bool,
}

#[derive(Debug)]
struct Entry {
    message: Message,
    stored_at: Timestamp,
    since: Instant,
}

/// The two clocks, read once for each operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// For deadlines and ages.
    pub(super) now: Instant,
    /// For what people read.
    pub(super) wall: Timestamp,
}

/// A message on its way to a consumer.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) stored: Stored,
    pub(super) deliveries: u32,
    pub(super) pending: u64,
}

/// What one step of a replay has found.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) found: Vec<Stored>,
    /// Where to continue; `None` at the end.
    pub(super) next: Option<u64>,
}

impl Stream {
    /// An empty stream of `spec`. If it is in files, `sync` says when they are on the disk.
    pub(super) fn new(spec: StreamSpec, sync: Sync) -> Self {
        Self {
            tail: Tail::new(sync),
            gone: false,
            repeats: Repeats::new(spec.duplicate_window),
            spec,
            consumers: Vec::new(),
            entries: BTreeMap::new(),
            subjects: HashMap::new(),
            bytes: 0,
            sequence_last: 0,
            doubles: BTreeMap::new(),
        }
    }

    /// Stores a message, unless the id in its headers marks it as a repeat, or there is no room for it.
    pub(super) fn store(
        &mut self,
        message: Message,
        at: Moment,
        effects: &mut Effects,
    ) -> Result<Receipt, Error> {
        self.sync(at.now);
        self.expire(at.now, effects);
        let id = message.headers.get(MESSAGE_ID);
        if let Some(sequence) = id.and_then(|id| self.repeats.find(id, at.now)) {
            effects.counters.repeated += 1;
            effects.log.record(at.now, || Event::Repeated(Name::of(&message, Some(sequence))));
            return Ok(Receipt { sequence, duplicate: true });
        }
        self.make_room(&message, at.now, effects).map_err(|full| effects.refused(&message, full, at.now))?;
        self.sequence_last += 1;
        let sequence = self.sequence_last;
        if let Some(id) = id {
            self.repeats.remember(id, sequence, at.now);
        }
        effects.counters.published += 1;
        effects.log.record(at.now, || Event::Published(Name::of(&message, Some(sequence))));
        for consumer in self.consumers.iter_mut() {
            if consumer.is_gone() || !consumer.filter.matches(&message.subject) {
                continue;
            }
            let due = effects.due(&message, Some(sequence), &consumer.reader, at.now);
            consumer.arrive(sequence, &message.subject, due, at.now);
        }
        self.keep(sequence, message, at);
        Ok(Receipt { sequence, duplicate: false })
    }

    /// Leases up to `credit` messages to consumer number `index`.
    pub(super) fn lease(
        &mut self,
        index: usize,
        credit: usize,
        now: Instant,
        effects: &mut Effects,
    ) -> Vec<Delivery> {
        self.sync(now);
        self.expire(now, effects);
        let consumer = &mut self.consumers[index];
        effects.counters.lapsed += consumer.advance(now);
        let mut leased = Vec::new();
        while leased.len() < credit {
            if let Some(double) = self.doubles.get_mut(&index).and_then(VecDeque::pop_front) {
                leased.push(double);
                continue;
            }
            let Some((sequence, deliveries)) = consumer.lease(now) else { break };
            let Some(entry) = self.entries.get(&sequence) else { continue };
            let delivery =
                Delivery { stored: entry.stored(sequence), deliveries, pending: consumer.waiting() };
            match effects.arrival(&entry.message, Some(sequence), &consumer.reader, now) {
                Arrival::Never => continue,
                Arrival::Once => {}
                Arrival::Twice => {
                    // As a server counts: the next delivery is one more still.
                    consumer.count_again(sequence);
                    let double = Delivery { deliveries: deliveries.saturating_add(1), ..delivery.clone() };
                    self.doubles.entry(index).or_default().push_back(double);
                }
            }
            leased.push(delivery);
        }
        for Delivery { stored, deliveries, .. } in &leased {
            effects.delivered(&stored.message, Some(stored.sequence), &consumer.reader, *deliveries, now);
        }
        leased
    }

    /// Whether a pull of consumer number `index` would find something now.
    pub(super) fn has_more(&self, index: usize) -> bool {
        self.consumers[index].has_more()
            || self.doubles.get(&index).is_some_and(|doubles| !doubles.is_empty())
    }

    /// Settles a lease of consumer number `index`.
    pub(super) fn settle(
        &mut self,
        index: usize,
        sequence: u64,
        settlement: Settlement,
        now: Instant,
        effects: &mut Effects,
    ) -> Settled {
        self.sync(now);
        let consumer = &mut self.consumers[index];
        // A lease that has run out is over, whether or not somebody has pulled since.
        effects.counters.lapsed += consumer.advance(now);
        let settled = consumer.settle(sequence, settlement, now);
        if settled == Settled::Done && self.spec.retention == Retention::WorkQueue {
            self.discard(sequence);
        }
        settled
    }

    /// The subjects that match `pattern` and hold messages, each with its message count, sorted.
    pub(super) fn subjects(&self, pattern: &Pattern) -> Vec<(String, u64)> {
        let matching = self.subjects.iter().filter(|(subject, _)| pattern.matches(subject));
        let mut subjects: Vec<_> =
            matching.map(|(subject, held)| (subject.clone(), held.len() as u64)).collect();
        subjects.sort_unstable();
        subjects
    }

    /// Opens the consumer of `spec`; creates it if it is missing. Returns its number.
    pub(super) fn open(
        &mut self,
        spec: &ConsumerSpec,
        now: Instant,
        effects: &mut Effects,
    ) -> Result<usize, Error> {
        let invalid = |why: String| {
            Error::new(ErrorKind::Invalid, format!("consumer {} of stream {}: {why}", spec.name, spec.stream))
        };
        let filter = Pattern::parse(&spec.filter)
            .ok_or_else(|| invalid(format!("`{}` is not a pattern", spec.filter)))?;
        if spec.ack_pending_max == 0 || spec.ack_wait == Duration::ZERO {
            return Err(invalid("ack_pending_max and ack_wait must be over 0".to_owned()));
        }
        let known = self.consumers.iter().position(|consumer| consumer.spec.name == spec.name);
        if let Some(index) = known.filter(|index| !self.consumers[*index].is_gone()) {
            let consumer = &mut self.consumers[index];
            if consumer.filter != filter {
                return Err(invalid(format!("it exists with the filter {}", consumer.spec.filter)));
            }
            consumer.spec = spec.clone();
            consumer.bell.notify_waiters();
            return Ok(index);
        }
        if self.spec.retention == Retention::WorkQueue
            && let Some(other) =
                self.consumers.iter().find(|other| !other.is_gone() && other.filter.overlaps(&filter))
        {
            return Err(invalid(format!("its filter overlaps that of consumer {}", other.spec.name)));
        }
        self.sync(now);
        self.expire(now, effects);
        let backlog = self.entries.iter().filter(|(_, entry)| filter.matches(&entry.message.subject));
        let mut consumer =
            Consumer::new(spec.clone(), filter.clone(), backlog.map(|(sequence, _)| *sequence));
        if self.tail.is_tracked() {
            consumer.note_sync();
        }
        let Some(index) = known else {
            self.consumers.push(consumer);
            return Ok(self.consumers.len() - 1);
        };
        effects.log.record(now, || Event::ConsumerMade(consumer.reader.clone()));
        self.consumers[index].replace(consumer);
        Ok(index)
    }

    /// The last message on `subject`.
    pub(super) fn last(&mut self, subject: &str, now: Instant, effects: &mut Effects) -> Option<Stored> {
        self.expire(now, effects);
        let sequence = *self.subjects.get(subject)?.back()?;
        self.get(sequence)
    }

    /// The first message on `subject` from `from` on.
    pub(super) fn next(
        &mut self,
        subject: &str,
        from: u64,
        now: Instant,
        effects: &mut Effects,
    ) -> Option<Stored> {
        self.expire(now, effects);
        let sequences = self.subjects.get(subject)?;
        let place = sequences.partition_point(|sequence| *sequence < from);
        self.get(*sequences.get(place)?)
    }

    /// The message at `sequence`.
    pub(super) fn get(&self, sequence: u64) -> Option<Stored> {
        Some(self.entries.get(&sequence)?.stored(sequence))
    }

    /// The next messages of `pattern` (written as `subject`) from `from` to `to`.
    pub(super) fn replay(&self, subject: &str, pattern: &Pattern, from: u64, to: u64) -> Step {
        if from > to {
            return Step { found: Vec::new(), next: None };
        }
        if pattern.is_exact() {
            let Some(sequences) = self.subjects.get(subject) else {
                return Step { found: Vec::new(), next: None };
            };
            let start = sequences.partition_point(|sequence| *sequence < from);
            let some = sequences.range(start..).copied().take_while(|sequence| *sequence <= to);
            let found: Vec<_> =
                some.take(REPLAY_STEP_MAX).filter_map(|sequence| self.get(sequence)).collect();
            return Step { next: found.last().map(|stored| stored.sequence + 1), found };
        }
        let some: Vec<_> = self.entries.range(from..=to).take(REPLAY_STEP_MAX).collect();
        let next = some.last().map(|(sequence, _)| **sequence + 1);
        let matching = some.into_iter().filter(|(_, entry)| pattern.matches(&entry.message.subject));
        Step { found: matching.map(|(sequence, entry)| entry.stored(*sequence)).collect(), next }
    }

    /// The sequence of the first message of `pattern` that was stored at `since` or later.
    pub(super) fn first_since(&self, pattern: &Pattern, since: Timestamp) -> Option<u64> {
        // A message that is stored later has a higher sequence.
        let (mut low, mut high) = (0, self.sequence_last + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entries.range(middle..).next() {
                Some((sequence, entry)) if entry.stored_at < since => low = sequence + 1,
                _ => high = middle,
            }
        }
        let mut newer = self.entries.range(low..);
        newer.find(|(_, entry)| pattern.matches(&entry.message.subject)).map(|(sequence, _)| *sequence)
    }

    /// The highest sequence so far.
    pub(super) const fn sequence_last(&self) -> u64 {
        self.sequence_last
    }

    /// Removes one message on request; returns whether it was there.
    pub(super) fn remove(&mut self, sequence: u64, now: Instant, effects: &mut Effects) -> bool {
        self.sync(now);
        self.expire(now, effects);
        self.discard(sequence)
    }

    /// Removes all messages on `subject`.
    pub(super) fn purge(&mut self, subject: &str, now: Instant, effects: &mut Effects) {
        self.sync(now);
        self.expire(now, effects);
        for sequence in self.subjects.get(subject).cloned().unwrap_or_default() {
            self.discard(sequence);
        }
    }

    /// Removes one message; returns whether it was there.
    fn discard(&mut self, sequence: u64) -> bool {
        let Some(entry) = self.entries.remove(&sequence) else { return false };
        let subject = &entry.message.subject;
        self.bytes -= bytes_of(&entry.message);
        if let Some(sequences) = self.subjects.get_mut(subject) {
            if let Ok(index) = sequences.binary_search(&sequence) {
                sequences.remove(index);
            }
            if sequences.is_empty() {
                self.subjects.remove(subject);
            }
        }
        for consumer in self.consumers.iter_mut().filter(|consumer| consumer.filter.matches(subject)) {
            consumer.forget(sequence);
        }
        self.tail.removed(sequence, entry);
        true
    }

    /// Removes messages that are too old. Called before anything looks, so that no task has to watch the clock.
    pub(super) fn expire(&mut self, now: Instant, effects: &mut Effects) {
        let Some(age_max) = self.spec.age_max else { return };
        while let Some((_, oldest)) = self.entries.first_key_value()
            && now.duration_since(oldest.since) >= age_max
        {
            self.discard_oldest(now, effects);
        }
    }

    /// Removes the oldest `count` messages.
    pub(super) fn trim(&mut self, count: u64, now: Instant, effects: &mut Effects) {
        self.sync(now);
        for _ in 0..count.min(self.entries.len() as u64) {
            self.discard_oldest(now, effects);
        }
    }

    fn discard_oldest(&mut self, now: Instant, effects: &mut Effects) {
        let Some((&sequence, entry)) = self.entries.first_key_value() else { return };
        effects.counters.discarded += 1;
        effects.log.record(now, || Event::Discarded(Name::of(&entry.message, Some(sequence))));
        self.discard(sequence);
    }

    fn make_room(&mut self, message: &Message, now: Instant, effects: &mut Effects) -> Result<(), Error> {
        let refusal = |kind, stream: &str, why: &str| {
            Err(Error::new(kind, format!("publish to {}: stream {stream} {why}", message.subject)))
        };
        if self.spec.first_wins && self.subjects.contains_key(&message.subject) {
            return refusal(ErrorKind::Exists, &self.spec.name, "holds its one message already");
        }
        let last = || self.subjects.get(&message.subject).and_then(|sequences| sequences.back().copied());
        if message.headers.get(LAST_OF_SUBJECT).is_some_and(|place| place.parse() != Ok(last().unwrap_or(0)))
        {
            return refusal(ErrorKind::WrongRevision, &self.spec.name, "has another last message there");
        }
        let bytes = bytes_of(message);
        let bytes_max = self.spec.bytes_max.unwrap_or(u64::MAX);
        let messages_max = self.spec.messages_max.unwrap_or(u64::MAX);
        while self.bytes.saturating_add(bytes) > bytes_max || self.entries.len() as u64 >= messages_max {
            // A message larger than the whole stream must not empty it in vain.
            if !self.spec.discard_old || bytes > bytes_max || self.entries.is_empty() {
                return refusal(ErrorKind::Full, &self.spec.name, "holds all it may");
            }
            self.discard_oldest(now, effects);
        }
        Ok(())
    }

    fn keep(&mut self, sequence: u64, message: Message, at: Moment) {
        self.bytes += bytes_of(&message);
        if let Some(sequences) = self.subjects.get_mut(&message.subject) {
            sequences.push_back(sequence);
        } else {
            self.subjects.insert(message.subject.clone(), VecDeque::from([sequence]));
        }
        self.entries.insert(sequence, Entry { message, stored_at: at.wall, since: at.now });
    }
}

impl Entry {
    fn stored(&self, sequence: u64) -> Stored {
        Stored { message: self.message.clone(), sequence, stored_at: self.stored_at }
    }
}

fn bytes_of(message: &Message) -> u64 {
    (message.subject.len() + super::wire_bytes(message)) as u64
}

#[cfg(test)]
mod tests;
