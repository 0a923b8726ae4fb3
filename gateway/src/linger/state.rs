//! Tracks which requests have readers, and what is due when. Pure: the caller passes the time in; nothing is sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::record::Key;

/// How many chats may linger at once, some 5 MB. Beyond that, the chat that is due first is forgotten and runs on.
pub(super) const LINGERING_MAX: usize = 16_384;
/// How often this gateway announces another gateway's request that is read here.
pub(super) const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);
/// How long an announcement is valid: one may be lost, and the next one late.
pub(super) const ANNOUNCED_FOR: Duration = Duration::from_secs(25);
/// How many due requests of each kind are handled at once.
const DUE_AT_ONCE: usize = 64;

/// All requests with a reader here, and the chats that have lost theirs, by event subject.
#[derive(Debug)]
pub(super) struct State {
    /// How long a chat lingers.
    linger: Duration,
    requests: BTreeMap<String, Request>,
    /// The lingering chats, and until when they linger.
    lingering: BTreeSet<(Instant, String)>,
    /// The requests of other gateways that are read here, and when to announce each again.
    announcing: BTreeSet<(Instant, String)>,
    next_number: u64,
}

#[derive(Debug)]
struct Request {
    key: Key,
    /// Distinguishes the request from an earlier one under the same id.
    number: u64,
    readers: usize,
    /// When to cancel or announce the request.
    due: Option<Instant>,
    owner: Owner,
}

#[derive(Debug, Clone, Copy)]
enum Owner {
    /// This gateway accepted the chat. Clients read it, here or elsewhere, until then.
    Here { read_until: Instant },
    /// Another gateway accepted it, or it is not a chat.
    Elsewhere,
}

/// What to do now.
#[derive(Debug)]
pub(super) enum Due {
    Cancel(Key, u64),
    Announce(Key),
}

impl State {
    pub(super) fn new(linger: Duration) -> Self {
        let (lingering, announcing) = (BTreeSet::new(), BTreeSet::new());
        Self { linger, requests: BTreeMap::new(), lingering, announcing, next_number: 0 }
    }

    pub(super) fn lead(&mut self, key: &Key, now: Instant) -> u64 {
        // Before the owner changes: what was due under the old owner no longer is.
        self.schedule(&key.events, None);
        let owner = Owner::Here { read_until: now };
        let Some(request) = self.requests.get_mut(&key.events) else { return self.add(key, owner) };
        request.readers += 1;
        request.owner = owner;
        request.number
    }

    pub(super) fn join(&mut self, key: &Key, now: Instant) -> u64 {
        let subject = &key.events;
        let Some(request) = self.requests.get_mut(subject) else {
            let number = self.add(key, Owner::Elsewhere);
            self.schedule(subject, Some(now));
            return number;
        };
        request.readers += 1;
        let (number, here) = (request.number, matches!(request.owner, Owner::Here { .. }));
        if here {
            self.schedule(subject, None);
        }
        number
    }

    /// Adds a request with its first reader; nothing is due for it.
    fn add(&mut self, key: &Key, owner: Owner) -> u64 {
        self.next_number += 1;
        let number = self.next_number;
        let request = Request { key: key.clone(), number, readers: 1, due: None, owner };
        self.requests.insert(key.events.clone(), request);
        number
    }

    /// A reader has gone.
    pub(super) fn leave(&mut self, subject: &str, number: u64, now: Instant) {
        let Some(request) = self.requests.get_mut(subject).filter(|request| request.number == number) else {
            return;
        };
        request.readers -= 1;
        if request.readers == 0 && !self.read(subject, now) {
            self.remove(subject);
        }
    }

    /// A reader has received everything; every other one will too.
    pub(super) fn end(&mut self, subject: &str, number: u64) {
        if self.requests.get(subject).is_some_and(|request| request.number == number) {
            self.remove(subject);
        }
    }

    /// A client looked at the request: a chat of this gateway lingers anew. `false` if it is not one.
    pub(super) fn look_in(&mut self, subject: &str, now: Instant) -> bool {
        self.read(subject, now)
    }

    pub(super) fn hear(&mut self, subject: &str, now: Instant) {
        self.read(subject, now + ANNOUNCED_FOR);
    }

    pub(super) fn begin_anew(&mut self, now: Instant) {
        let subjects: Vec<_> = self.lingering.iter().map(|(_, subject)| subject.clone()).collect();
        for subject in subjects {
            self.read(&subject, now);
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let first = |set: &BTreeSet<(Instant, String)>| set.first().map(|(due, _)| *due);
        first(&self.lingering).into_iter().chain(first(&self.announcing)).min()
    }

    /// Takes what is due; a chat to be cancelled stays known until it is settled.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Due> {
        let due = |set: &BTreeSet<(Instant, String)>| -> Vec<String> {
            let passed = set.iter().take_while(|(due, _)| *due <= now).take(DUE_AT_ONCE);
            passed.map(|(_, subject)| subject.clone()).collect()
        };
        let mut taken = Vec::new();
        for subject in due(&self.lingering) {
            self.schedule(&subject, None);
            taken.extend(self.requests.get(&subject).map(|one| Due::Cancel(one.key.clone(), one.number)));
        }
        for subject in due(&self.announcing) {
            self.schedule(&subject, Some(now + ANNOUNCE_EVERY));
            taken.extend(self.requests.get(&subject).map(|one| Due::Announce(one.key.clone())));
        }
        taken
    }

    /// Whether no reader has come back to a chat that is about to be cancelled.
    pub(super) fn is_alone(&self, subject: &str, number: u64) -> bool {
        let request = self.requests.get(subject).filter(|request| request.number == number);
        request.is_some_and(|request| request.readers == 0 && request.due.is_none())
    }

    /// Forgets a chat that was due, or makes it due again at `again`, unless a reader has come back to it.
    pub(super) fn settle(&mut self, subject: &str, number: u64, again: Option<Instant>) {
        if !self.is_alone(subject, number) {
            return;
        }
        match again {
            Some(_) => self.schedule(subject, again),
            None => self.remove(subject),
        }
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn remove(&mut self, subject: &str) {
        self.schedule(subject, None);
        self.requests.remove(subject);
    }

    /// Notes that a chat of this gateway was read until `until` and lingers from then on; `false` if it is not one.
    fn read(&mut self, subject: &str, until: Instant) -> bool {
        let Some(request) = self.requests.get_mut(subject) else { return false };
        let Owner::Here { read_until } = &mut request.owner else { return false };
        *read_until = until.max(*read_until);
        let due = *read_until + self.linger;
        if request.readers == 0 {
            self.schedule(subject, Some(due));
            if self.lingering.len() > LINGERING_MAX
                && let Some((_, first)) = self.lingering.first().cloned()
            {
                self.remove(&first);
            }
        }
        true
    }

    fn schedule(&mut self, subject: &str, due: Option<Instant>) {
        let Some(request) = self.requests.get_mut(subject) else { return };
        let set = match request.owner {
            Owner::Here { .. } => &mut self.lingering,
            Owner::Elsewhere => &mut self.announcing,
        };
        if let Some(before) = request.due.take() {
            set.remove(&(before, subject.to_owned()));
        }
        if let Some(due) = due {
            set.insert((due, subject.to_owned()));
            request.due = Some(due);
        }
    }
}
