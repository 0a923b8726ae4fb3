//! The state of a durable consumer: what waits, what is leased and until when. Pure: callers pass in `now` and sequence
//! numbers, never messages.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{hold::Hold, log::Reader};
use crate::subject::Pattern;
use crate::{ConsumerSpec, Settlement};

/// Stands for "never" if a duration would overflow the clock: 30 years.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A durable consumer, shared by all handles of its name.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) spec: ConsumerSpec,
    pub(super) filter: Pattern,
    pub(super) reader: Reader,
    /// Rung when there may be something to pull.
    pub(super) bell: Arc<Notify>,
    // Never delivered, oldest first; once a message was held back, only mostly so.
    ready: VecDeque<u64>,
    held: Hold<u64>,
    mixed: bool,
    out: BTreeMap<u64, Out>,
    deadlines: BTreeSet<(Instant, u64)>,
    // Lapsed or given back, in that order. An entry whose lease has been settled since is skipped.
    again: VecDeque<u64>,
    // Deleted, until a caller re-creates it.
    gone: bool,
    // What has changed since the last sync, and since the last write.
    synced: Past,
    written: Past,
}

/// The messages that have changed since some time, each with its state from then: leased, or (inner `None`) never
/// delivered. `None` if nothing is tracked.
type Past = Option<BTreeMap<u64, Option<Out>>>;

/// A message that is delivered and not settled.
#[derive(Debug, Clone, Copy)]
struct Out {
    deliveries: u32,
    // None while it waits in `again`.
    deadline: Option<Instant>,
}

/// What settling a lease means for its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// It was settled before: nothing changes.
    Already,
    /// The message stays.
    Kept,
    /// This consumer is done with the message.
    Done,
}

impl Consumer {
    /// A consumer of `spec` whose `backlog` is the stored messages that wait for it.
    pub(super) fn new(spec: ConsumerSpec, filter: Pattern, backlog: impl Iterator<Item = u64>) -> Self {
        Self {
            reader: Reader::Consumer { stream: spec.stream.as_str().into(), name: spec.name.as_str().into() },
            bell: Arc::default(),
            ready: backlog.collect(),
            held: Hold::default(),
            mixed: false,
            out: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            again: VecDeque::new(),
            gone: false,
            synced: None,
            written: None,
            spec,
            filter,
        }
    }

    /// Whether it is deleted.
    pub(super) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Deletes it: it forgets everything that it knew.
    pub(super) fn delete(&mut self) {
        let (spec, filter, bell) = (self.spec.clone(), self.filter.clone(), Arc::clone(&self.bell));
        *self = Self { gone: true, bell, ..Self::new(spec, filter, std::iter::empty()) };
        self.bell.notify_waiters();
    }

    /// Re-creates it from `made`, for all handles that know it.
    pub(super) fn replace(&mut self, made: Self) {
        *self = Self { bell: Arc::clone(&self.bell), ..made };
        self.bell.notify_waiters();
    }

    /// Ends the leases on all messages for which `is_it` holds; returns how many.
    pub(super) fn end_leases(&mut self, is_it: impl Fn(u64) -> bool) -> u64 {
        let out: Vec<(Instant, u64)> =
            self.deadlines.iter().filter(|(_, sequence)| is_it(*sequence)).copied().collect();
        for (deadline, sequence) in &out {
            self.deadlines.remove(&(*deadline, *sequence));
            self.lapse(*sequence);
        }
        if !out.is_empty() {
            self.bell.notify_waiters();
        }
        out.len() as u64
    }

    /// Notes that its current state is on the disk.
    pub(super) fn note_sync(&mut self) {
        self.synced = Some(BTreeMap::new());
        self.note_write();
    }

    /// Notes that its current state has been written.
    pub(super) fn note_write(&mut self) {
        self.written = Some(BTreeMap::new());
    }

    /// Reverts the messages that are still there to their state at the last sync; returns which had changed.
    pub(super) fn undo_unsynced(&mut self, is_there: impl Fn(u64) -> bool) -> Vec<u64> {
        let past = self.synced.take();
        let changed = past.iter().flat_map(BTreeMap::keys).copied().collect();
        self.undo(past, is_there);
        self.note_sync();
        changed
    }

    /// Reverts the messages that are still there to their state at the last write; returns which had changed.
    pub(super) fn undo_unwritten(&mut self, is_there: impl Fn(u64) -> bool) -> Vec<u64> {
        let Some(past) = self.written.take() else { return Vec::new() };
        let changed = past.keys().copied().collect();
        self.undo(Some(past), is_there);
        self.note_write();
        changed
    }

    fn undo(&mut self, past: Past, is_there: impl Fn(u64) -> bool) {
        for (sequence, before) in past.into_iter().flatten() {
            if !is_there(sequence) {
                continue;
            }
            self.forget(sequence);
            if let Some(out) = before {
                self.out.insert(sequence, out);
                match out.deadline {
                    Some(deadline) => _ = self.deadlines.insert((deadline, sequence)),
                    None => self.again.push_back(sequence),
                }
            } else {
                self.wait_again(sequence);
            }
        }
    }

    /// Whether the message is leased, waits or is held back here.
    pub(super) fn knows(&self, sequence: u64) -> bool {
        self.out.contains_key(&sequence)
            || self.position(sequence).is_some()
            || self.held.any(|held| *held == sequence)
    }

    /// Makes a message that was delivered, or had left, wait as if it had never been delivered.
    pub(super) fn wait_again(&mut self, sequence: u64) {
        let index = self.ready.partition_point(|have| *have < sequence);
        self.ready.insert(index, sequence);
    }

    /// A message for this consumer has been stored; a fault may hold it back until `due`.
    pub(super) fn arrive(&mut self, sequence: u64, subject: &str, due: Option<Instant>, now: Instant) {
        if due.is_some() || self.held.holds(subject) {
            self.held.push(due.unwrap_or(now), subject, sequence);
            self.mixed = true;
            // Waiting pulls have to learn of a new, perhaps earlier, time to look.
            self.bell.notify_waiters();
        } else {
            self.ready.push_back(sequence);
            self.bell.notify_one();
        }
    }

    /// Leases the next message; returns its sequence and how often it has been delivered, this time included.
    /// Redeliveries go before new messages and, as in JetStream, ignore the limit on leases.
    pub(super) fn lease(&mut self, now: Instant) -> Option<(u64, u32)> {
        while let Some(sequence) = self.again.pop_front() {
            if let Some(Out { deliveries, deadline: None }) = self.out.get(&sequence).copied() {
                return Some(self.lend(sequence, deliveries.saturating_add(1), now));
            }
        }
        if self.out.len() >= self.spec.ack_pending_max as usize {
            return None;
        }
        let sequence = self.ready.pop_front()?;
        Some(self.lend(sequence, 1, now))
    }

    /// Counts one more delivery of the message, whatever becomes of its lease.
    pub(super) fn count_again(&mut self, sequence: u64) {
        if let Some(out) = self.out.get_mut(&sequence) {
            out.deliveries = out.deliveries.saturating_add(1);
        }
    }

    /// Applies what time has changed; returns how many leases have lapsed.
    pub(super) fn advance(&mut self, now: Instant) -> u64 {
        let mut lapsed = 0;
        while let Some(&(deadline, sequence)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            self.lapse(sequence);
            lapsed += 1;
        }
        while let Some(sequence) = self.held.pop_due(now) {
            self.ready.push_back(sequence);
        }
        lapsed
    }

    /// Settles a lease, whoever holds it: as in JetStream, there is no fence.
    pub(super) fn settle(&mut self, sequence: u64, settlement: Settlement, now: Instant) -> Settled {
        let Some(out) = self.out.get(&sequence).copied() else { return Settled::Already };
        match settlement {
            Settlement::Ack | Settlement::Reject => {
                self.forget_lease(sequence);
                return Settled::Done;
            }
            // A message that already waits for redelivery keeps waiting, whatever else a former holder says.
            _ if out.deadline.is_none() => {}
            Settlement::Renew => self.lend_until(sequence, out.deliveries, after(now, self.spec.ack_wait)),
            Settlement::RetryAfter(Duration::ZERO) => {
                self.touch(sequence);
                if let Some(deadline) = out.deadline {
                    self.deadlines.remove(&(deadline, sequence));
                }
                self.out.insert(sequence, Out { deadline: None, ..out });
                self.again.push_back(sequence);
                self.bell.notify_one();
            }
            Settlement::RetryAfter(delay) => {
                self.lend_until(sequence, out.deliveries, after(now, delay));
                // Waiting pulls sleep until the earliest time they knew of, and this may be an earlier one.
                self.bell.notify_waiters();
            }
        }
        Settled::Kept
    }

    /// A message for this consumer has left the stream.
    pub(super) fn forget(&mut self, sequence: u64) {
        if self.forget_lease(sequence) {
            return;
        }
        let waited = if self.ready.front() == Some(&sequence) {
            self.ready.pop_front().is_some()
        } else if let Some(index) = self.position(sequence) {
            self.ready.remove(index).is_some()
        } else {
            self.held.discard(|held| *held == sequence)
        };
        if waited {
            self.touch(sequence);
        }
    }

    /// How many messages wait that were never delivered.
    pub(super) fn waiting(&self) -> u64 {
        (self.ready.len() + self.held.len()) as u64
    }

    /// Whether a pull would find something now.
    pub(super) fn has_more(&self) -> bool {
        !self.again.is_empty()
            || (!self.ready.is_empty() && self.out.len() < self.spec.ack_pending_max as usize)
    }

    /// When to look again if the bell does not ring before. Never later than `ack_wait` from now, so that no lease
    /// taken meanwhile lapses unnoticed, without every lease waking all waiting pulls.
    pub(super) fn wake_at(&self, now: Instant) -> Instant {
        let known =
            self.deadlines.first().map(|(deadline, _)| *deadline).into_iter().chain(self.held.next_due());
        known.fold(after(now, self.spec.ack_wait), Instant::min)
    }

    /// What it knows: what waits, in order, and what is leased, with the number of deliveries.
    #[cfg(test)]
    pub(super) fn known(&self) -> (Vec<u64>, Vec<(u64, u32)>) {
        let mut waiting: Vec<u64> = self.ready.iter().copied().collect();
        waiting.sort_unstable();
        (waiting, self.out.iter().map(|(sequence, out)| (*sequence, out.deliveries)).collect())
    }

    /// How many messages are leased, or wait to be leased again.
    #[cfg(test)]
    pub(super) fn leased(&self) -> usize {
        self.out.len()
    }

    fn lend(&mut self, sequence: u64, deliveries: u32, now: Instant) -> (u64, u32) {
        self.lend_until(sequence, deliveries, after(now, self.spec.ack_wait));
        (sequence, deliveries)
    }

    fn lend_until(&mut self, sequence: u64, deliveries: u32, deadline: Instant) {
        self.touch(sequence);
        let lent = self.out.insert(sequence, Out { deliveries, deadline: Some(deadline) });
        if let Some(Out { deadline: Some(former), .. }) = lent {
            self.deadlines.remove(&(former, sequence));
        }
        self.deadlines.insert((deadline, sequence));
    }

    /// A lease has run out: its message waits for redelivery.
    fn lapse(&mut self, sequence: u64) {
        if let Some(out) = self.out.get_mut(&sequence) {
            out.deadline = None;
            self.again.push_back(sequence);
        }
    }

    /// Records a message's state before its first change since the last sync, and since the last write.
    fn touch(&mut self, sequence: u64) {
        for past in [&mut self.synced, &mut self.written].into_iter().flatten() {
            past.entry(sequence).or_insert_with(|| self.out.get(&sequence).copied());
        }
    }

    fn forget_lease(&mut self, sequence: u64) -> bool {
        if !self.out.contains_key(&sequence) {
            return false;
        }
        self.touch(sequence);
        let Some(out) = self.out.remove(&sequence) else { return false };
        if let Some(deadline) = out.deadline {
            self.deadlines.remove(&(deadline, sequence));
        }
        // A lease has become free.
        if !self.ready.is_empty() {
            self.bell.notify_one();
        }
        true
    }

    fn position(&self, sequence: u64) -> Option<usize> {
        if self.mixed {
            return self.ready.iter().position(|have| *have == sequence);
        }
        self.ready.binary_search(&sequence).ok()
    }
}

/// `delay` after `now`, or practically never.
fn after(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay).unwrap_or_else(|| now + NEVER)
}
