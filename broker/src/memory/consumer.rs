//! The state of a durable consumer: what waits, what is leased and until when. Pure: it takes `now`, and only sequence
//! numbers, never messages, pass through it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{hold::Hold, log::Reader};
use crate::subject::Pattern;
use crate::{ConsumerSpec, Settlement};

/// What stands for "never" where a duration would overflow the clock: 30 years.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// A durable consumer, shared by all handles of its name.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) spec: ConsumerSpec,
    pub(super) filter: Pattern,
    pub(super) reader: Reader,
    /// Rung when there may be something to pull.
    pub(super) bell: Arc<Notify>,
    // Never delivered yet, oldest first; once something was held, only mostly so.
    ready: VecDeque<u64>,
    held: Hold<u64>,
    mixed: bool,
    out: BTreeMap<u64, Out>,
    deadlines: BTreeSet<(Instant, u64)>,
    // Lapsed or given back, in that order. An entry whose lease has been settled since is skipped.
    again: VecDeque<u64>,
}

/// A message that has been delivered and is not settled.
#[derive(Debug, Clone, Copy)]
struct Out {
    deliveries: u32,
    // None while it waits in `again`.
    deadline: Option<Instant>,
}

/// What the settlement of a lease means for its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// It was settled before: nothing changed.
    Already,
    /// It stays.
    Kept,
    /// This consumer is done with it.
    Done,
}

impl Consumer {
    /// A consumer of `spec` with the stored messages that wait for it.
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
            spec,
            filter,
        }
    }

    /// A message of this consumer's has been stored; a fault may hold it back until `due`.
    pub(super) fn arrive(&mut self, sequence: u64, subject: &str, due: Option<Instant>, now: Instant) {
        if due.is_some() || self.held.holds(subject) {
            self.held.push(due.unwrap_or(now), subject, sequence);
            self.mixed = true;
            // Whoever waits has to learn of a new, perhaps earlier, time to look.
            self.bell.notify_waiters();
        } else {
            self.ready.push_back(sequence);
            self.bell.notify_one();
        }
    }

    /// Leases the next message; returns its sequence and how often it has been delivered, this time included. What
    /// comes again goes before what is new, and, as in JetStream, whatever the number of leases.
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

    /// Moves on what time has moved on; returns how many leases have lapsed.
    pub(super) fn advance(&mut self, now: Instant) -> u64 {
        let mut lapsed = 0;
        while let Some(&(deadline, sequence)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            if let Some(out) = self.out.get_mut(&sequence) {
                out.deadline = None;
                self.again.push_back(sequence);
                lapsed += 1;
            }
        }
        while let Some(sequence) = self.held.pop_due(now) {
            self.ready.push_back(sequence);
        }
        lapsed
    }

    /// Settles a lease. Whose it is plays no part: as in JetStream, there is no fence.
    pub(super) fn settle(&mut self, sequence: u64, settlement: Settlement, now: Instant) -> Settled {
        let Some(out) = self.out.get(&sequence).copied() else { return Settled::Already };
        match settlement {
            Settlement::Ack | Settlement::Reject => {
                self.forget_lease(sequence);
                return Settled::Done;
            }
            // One that already waits to be delivered again does so, whatever else a former holder says.
            _ if out.deadline.is_none() => {}
            Settlement::Renew => self.lend_until(sequence, out.deliveries, after(now, self.spec.ack_wait)),
            Settlement::RetryAfter(Duration::ZERO) => {
                if let Some(deadline) = out.deadline {
                    self.deadlines.remove(&(deadline, sequence));
                }
                self.out.insert(sequence, Out { deadline: None, ..out });
                self.again.push_back(sequence);
                self.bell.notify_one();
            }
            Settlement::RetryAfter(delay) => {
                self.lend_until(sequence, out.deliveries, after(now, delay));
                // Whoever waits sleeps until the earliest time it knew of, and this may be an earlier one.
                self.bell.notify_waiters();
            }
        }
        Settled::Kept
    }

    /// A message of this consumer's has left the stream.
    pub(super) fn forget(&mut self, sequence: u64) {
        if self.forget_lease(sequence) {
            return;
        }
        if self.ready.front() == Some(&sequence) {
            self.ready.pop_front();
        } else if let Some(index) = self.position(sequence) {
            self.ready.remove(index);
        } else {
            self.held.discard(|held| *held == sequence);
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

    /// When to look again if nothing rings before. Never later than `ack_wait` from now: so no lease that is taken in
    /// the meantime lapses unnoticed, without every lease waking everybody who waits.
    pub(super) fn wake_at(&self, now: Instant) -> Instant {
        let known =
            self.deadlines.first().map(|(deadline, _)| *deadline).into_iter().chain(self.held.next_due());
        known.fold(after(now, self.spec.ack_wait), Instant::min)
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
        let lent = self.out.insert(sequence, Out { deliveries, deadline: Some(deadline) });
        if let Some(Out { deadline: Some(former), .. }) = lent {
            self.deadlines.remove(&(former, sequence));
        }
        self.deadlines.insert((deadline, sequence));
    }

    fn forget_lease(&mut self, sequence: u64) -> bool {
        let Some(out) = self.out.remove(&sequence) else { return false };
        if let Some(deadline) = out.deadline {
            self.deadlines.remove(&(deadline, sequence));
        }
        // A place has become free.
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

/// `delay` after `now`, or as good as never.
fn after(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay).unwrap_or_else(|| now + NEVER)
}
