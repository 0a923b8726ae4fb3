//! What becomes of a stream when its broker goes down: one in memory is gone; one in files is as it was at the last
//! sync if the power failed, and whole otherwise.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{Entry, Stream, bytes_of};
use crate::{
    Retention, Storage,
    memory::{
        effects::{Effects, Undoing},
        log::{Event, Name},
        sync::Sync,
    },
    message::MESSAGE_ID,
    subject::Pattern,
};

/// A server writes a consumer's state this long after a change: if its process dies, state not written yet is lost.
const WRITE_EVERY: Duration = Duration::from_millis(10);

/// What has changed in a stream since it was last on the disk.
#[derive(Debug)]
pub(super) struct Tail {
    sync: Sync,
    number: Option<u128>,
    /// The same for the state of its consumers, which is written often, but not at once.
    write: Sync,
    written: Option<u128>,
    /// The last sequence on the disk.
    sequence_last: u64,
    /// What was on the disk and has left since.
    removed: BTreeMap<u64, Entry>,
}

impl Tail {
    /// Nothing has changed.
    pub(super) fn new(sync: Sync) -> Self {
        let write = sync.every(WRITE_EVERY);
        Self { sync, number: None, write, written: None, sequence_last: 0, removed: BTreeMap::new() }
    }

    /// Whether changes are tracked: not before the first change, and never if each is synced at once.
    pub(super) const fn is_tracked(&self) -> bool {
        self.number.is_some()
    }

    /// Notes that a message has left the stream.
    pub(super) fn removed(&mut self, sequence: u64, entry: Entry) {
        if self.is_tracked() && sequence <= self.sequence_last {
            self.removed.insert(sequence, entry);
        }
    }
}

impl Stream {
    /// Notes a sync since the last change. Called before every change.
    pub(super) fn sync(&mut self, now: Instant) {
        if self.spec.storage == Storage::Memory {
            return;
        }
        let (number, written) = (self.tail.sync.number(now), self.tail.write.number(now));
        if written != self.tail.written {
            self.tail.written = written;
            for consumer in &mut self.consumers {
                consumer.note_write();
            }
        }
        if number == self.tail.number {
            return;
        }
        self.tail.number = number;
        self.tail.sequence_last = self.sequence_last;
        self.tail.removed.clear();
        for consumer in &mut self.consumers {
            consumer.note_sync();
        }
    }

    /// The broker's process has ended: messages on their way are lost, and so is everything in memory.
    pub(in crate::memory) fn crash(&mut self, now: Instant, effects: &mut Effects) {
        self.doubles.clear();
        match self.spec.storage {
            Storage::Memory => self.wipe(now, effects),
            Storage::File => {
                self.sync(now);
                let Self { consumers, entries, .. } = self;
                for consumer in consumers {
                    for sequence in consumer.undo_unwritten(|sequence| entries.contains_key(&sequence)) {
                        if let Some(entry) = entries.get(&sequence) {
                            effects.undo(&entry.message, Undoing::Delivered);
                        }
                    }
                }
                self.relearn();
            }
        }
    }

    /// The power has failed: everything that is not on the disk is lost. Returns how many messages are gone or back.
    pub(in crate::memory) fn lose_tail(&mut self, now: Instant, effects: &mut Effects) -> u64 {
        self.sync(now);
        if !self.tail.is_tracked() {
            return 0;
        }
        let (sequence_last, mut changed) = (self.tail.sequence_last, 0);
        let unsynced: Vec<u64> =
            self.entries.range(sequence_last + 1..).map(|(sequence, _)| *sequence).collect();
        for sequence in unsynced {
            let Some(entry) = self.entries.get(&sequence) else { continue };
            effects.log.record(now, || Event::Unsynced(Name::of(&entry.message, Some(sequence))));
            effects.undo(&entry.message, Undoing::Stored);
            effects.counters.unsynced += 1;
            changed += 1;
            self.discard(sequence);
        }
        for (sequence, entry) in std::mem::take(&mut self.tail.removed) {
            effects.log.record(now, || Event::Restored(Name::of(&entry.message, Some(sequence))));
            effects.undo(&entry.message, Undoing::Removed);
            effects.counters.restored += 1;
            changed += 1;
            self.put_back(sequence, entry);
        }
        self.sequence_last = sequence_last;
        let Self { consumers, entries, .. } = self;
        for consumer in consumers {
            for sequence in consumer.undo_unsynced(|sequence| entries.contains_key(&sequence)) {
                if let Some(entry) = entries.get(&sequence) {
                    effects.undo(&entry.message, Undoing::Delivered);
                }
            }
        }
        self.find_orphans();
        self.relearn();
        changed
    }

    /// Everything in it is gone, and so are its consumers; the next caller that needs it re-creates it. Its sequences
    /// are not used again, so that an earlier ack settles nothing.
    pub(in crate::memory) fn wipe(&mut self, now: Instant, effects: &mut Effects) {
        let count = self.entries.len() as u64;
        effects.counters.wiped += count;
        effects.log.record(now, || Event::StreamGone(self.spec.name.clone(), count));
        for consumer in self.consumers.iter_mut().filter(|consumer| !consumer.is_gone()) {
            effects.log.record(now, || Event::ConsumerGone(consumer.reader.clone()));
            consumer.delete();
        }
        self.entries.clear();
        self.subjects.clear();
        self.doubles.clear();
        self.repeats.clear();
        self.bytes = 0;
        self.tail =
            Tail { sequence_last: self.sequence_last, removed: BTreeMap::new(), ..Tail::new(self.tail.sync) };
    }

    /// Deletes it.
    pub(in crate::memory) fn delete(&mut self, now: Instant, effects: &mut Effects) {
        self.wipe(now, effects);
        self.gone = true;
    }

    /// Whether it may take a message of `pattern`.
    pub(in crate::memory) fn takes(&self, pattern: &Pattern) -> bool {
        self.spec.subjects.iter().filter_map(|text| Pattern::parse(text)).any(|own| own.overlaps(pattern))
    }

    /// Whether it is deleted.
    pub(in crate::memory) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Re-creates it if it is deleted.
    pub(in crate::memory) fn revive(&mut self, now: Instant, effects: &mut Effects) {
        if std::mem::take(&mut self.gone) {
            effects.log.record(now, || Event::StreamMade(self.spec.name.clone()));
        }
    }

    /// Deletes the consumers that may take a message of `pattern`; returns how many.
    pub(in crate::memory) fn delete_consumers(
        &mut self,
        pattern: &Pattern,
        now: Instant,
        effects: &mut Effects,
    ) -> u64 {
        let mut count = 0;
        for consumer in &mut self.consumers {
            if !consumer.is_gone() && consumer.filter.overlaps(pattern) {
                effects.log.record(now, || Event::ConsumerGone(consumer.reader.clone()));
                consumer.delete();
                count += 1;
            }
        }
        count
    }

    /// Ends the leases on messages of `pattern`; returns how many.
    pub(in crate::memory) fn end_leases(
        &mut self,
        pattern: &Pattern,
        now: Instant,
        effects: &mut Effects,
    ) -> u64 {
        self.sync(now);
        let Self { consumers, entries, .. } = self;
        let takes = |sequence: u64| {
            entries.get(&sequence).is_some_and(|entry| pattern.matches(&entry.message.subject))
        };
        let mut count = 0;
        for consumer in consumers {
            let ended = consumer.end_leases(takes);
            if ended > 0 {
                effects.log.record(now, || Event::LeasesEnded(consumer.reader.clone(), ended));
            }
            count += ended;
        }
        effects.counters.lapsed += count;
        count
    }

    /// Forgets all ids; returns how many there were.
    pub(in crate::memory) fn forget_ids(&mut self, now: Instant, effects: &mut Effects) -> u64 {
        let count = self.repeats.clear();
        if count > 0 {
            effects.log.record(now, || Event::IdsForgotten(self.spec.name.clone(), count));
        }
        count
    }

    /// Relearns the ids, as a server does at its start: it knows those of the messages it holds, and no others.
    fn relearn(&mut self) {
        self.repeats.clear();
        for (sequence, entry) in &self.entries {
            if let Some(id) = entry.message.headers.get(MESSAGE_ID) {
                self.repeats.remember(id, *sequence, entry.since);
            }
        }
    }

    fn put_back(&mut self, sequence: u64, entry: Entry) {
        self.bytes += bytes_of(&entry.message);
        let sequences = self.subjects.entry(entry.message.subject.clone()).or_default();
        sequences.insert(sequences.partition_point(|have| *have < sequence), sequence);
        self.entries.insert(sequence, entry);
    }

    /// A work queue's messages are all due: a consumer that was created after a message had left gets it now.
    fn find_orphans(&mut self) {
        if self.spec.retention != Retention::WorkQueue {
            return;
        }
        for (sequence, entry) in &self.entries {
            let takes = |subject: &str| {
                self.consumers
                    .iter()
                    .position(|consumer| !consumer.is_gone() && consumer.filter.matches(subject))
            };
            if let Some(index) = takes(&entry.message.subject)
                && !self.consumers[index].knows(*sequence)
            {
                self.consumers[index].wait_again(*sequence);
            }
        }
    }
}

#[cfg(test)]
mod tests;
