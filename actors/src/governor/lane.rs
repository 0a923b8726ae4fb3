//! One key of a provider, with everything that holds back the calls by it. Pure.

use std::{collections::BTreeMap, time::Duration};

use adapters::{KeyFault, Limits};
use tokio::time::Instant;

use super::{
    breaker::Breaker,
    concurrency::Concurrency,
    learned::Learned,
    ledger::{Amount, Quota},
    rate::Rate,
    share::{Has, Lease, Share, Wish},
    window::{Ticket, Window},
};
use crate::ProviderLimits;

/// One key.
#[derive(Debug)]
pub(super) struct Lane {
    concurrency: Concurrency,
    running: u32,
    rate: Option<Rate>,
    tokens: Option<Window>,
    /// This engine's part of the limits that it shares with others.
    share: Option<Share>,
    learned: Learned,
    paused_until: Option<Instant>,
    breakers: BTreeMap<String, Breaker>,
    aside: Option<Aside>,
}

/// A key that is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Aside {
    /// Why.
    pub(super) fault: KeyFault,
    /// Until when; `None`: until the engine is restarted.
    pub(super) until: Option<Instant>,
}

/// What a call has taken of its key's limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    tokens: u64,
    ticket: Option<Ticket>,
    slot: Option<i64>,
}

/// Whether a call may start now by this key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Room {
    /// Yes; this share of its limits is free.
    Free(f64),
    /// Not before this time has passed.
    After(Duration),
    /// Not before a running call has ended.
    Full,
    /// Not before the other engines leave some of the limits.
    Unleased,
}

impl Lane {
    /// `is_shared`: other engines use the key as well.
    pub(super) fn new(limits: &ProviderLimits, is_shared: bool) -> Self {
        let quota = Quota {
            requests: limits.requests_per_minute.map(u64::from),
            tokens: limits.tokens_per_minute.map(u64::from),
        };
        let is_limited = quota.requests.is_some() || quota.tokens.is_some();
        Self {
            share: (is_shared && is_limited).then(|| Share::new(quota)),
            concurrency: Concurrency::new(limits.adaptive, limits.concurrency),
            running: 0,
            rate: limits.requests_per_minute.map(Rate::per_minute),
            tokens: limits.tokens_per_minute.map(Window::per_minute),
            learned: Learned::default(),
            paused_until: None,
            breakers: BTreeMap::new(),
            aside: None,
        }
    }

    /// Why and until when the key is not used.
    pub(super) fn aside(&self, now: Instant) -> Option<Aside> {
        self.aside.filter(|aside| aside.until.is_none_or(|until| until > now))
    }

    /// Sets the key aside; returns whether it was in use.
    pub(super) fn set_aside(&mut self, aside: Aside, now: Instant) -> bool {
        let was_in_use = self.aside(now).is_none();
        self.aside = Some(aside);
        was_in_use
    }

    /// Whether a call of `tokens` tokens may start.
    pub(super) fn room(&mut self, tokens: u64, now: Instant) -> Room {
        let limit = self.concurrency.limit();
        if self.running >= limit {
            return Room::Full;
        }
        let paused = self.paused_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let rate = self.rate.as_ref().map_or(Duration::ZERO, |rate| rate.wait(now));
        let window = self.tokens.as_mut().map_or(Duration::ZERO, |window| window.wait(tokens, now));
        let wait = paused.max(rate).max(window).max(self.learned.wait(tokens, now));
        if !wait.is_zero() {
            return Room::After(wait);
        }
        match self.share.as_ref().map(|share| share.has(tokens, now)) {
            None | Some(Has::Room) => {}
            Some(Has::None) => return Room::Unleased,
            Some(Has::NoneFor(wait)) => return Room::After(wait),
        }
        let slots = 1.0 - f64::from(self.running) / f64::from(limit);
        let calls = self.rate.as_ref().map_or(1.0, |rate| rate.free(now));
        let tokens = self.tokens.as_mut().map_or(1.0, |window| window.free(now));
        Room::Free(slots.min(calls).min(tokens))
    }

    /// A call of `tokens` tokens starts, for which there was room.
    pub(super) fn take(&mut self, tokens: u64, now: Instant) -> Taken {
        self.running += 1;
        if let Some(rate) = &mut self.rate {
            rate.take(now);
        }
        self.learned.take(tokens, now);
        let ticket = self.tokens.as_mut().map(|window| window.reserve(tokens, now));
        let slot = self.share.as_mut().and_then(|share| share.take(tokens));
        Taken { tokens, ticket, slot }
    }

    /// What to ask of the shared limits; `None` if there is nobody to ask.
    pub(super) fn wish(&mut self, first: u64, waiting: Amount, now: Instant) -> Option<Wish> {
        self.share.as_mut()?.wish(first, waiting, now)
    }

    /// This much of the shared limits was given.
    pub(super) fn given(&mut self, lease: Option<Lease>, now: Instant) {
        if let Some(share) = &mut self.share {
            share.given(lease, now);
        }
    }

    /// A call has ended and used `used` tokens, if known.
    pub(super) fn ended(&mut self, taken: Taken, used: Option<u64>, now: Instant) {
        self.running = self.running.saturating_sub(1);
        let Some(used) = used else { return };
        if let (Some(window), Some(ticket)) = (&mut self.tokens, taken.ticket) {
            window.settle(ticket, used, now);
        }
        if let (Some(share), Some(slot)) = (&mut self.share, taken.slot) {
            share.settle(slot, taken.tokens, used);
        }
    }

    /// A call was answered.
    pub(super) fn answered(&mut self) {
        self.concurrency.answered(self.running);
    }

    /// A rate limit refused a call that began at `began`; none may start for `pause`.
    pub(super) fn throttled(&mut self, pause: Duration, began: Instant, now: Instant) {
        self.concurrency.throttled(began, now);
        self.close(now + pause);
    }

    /// No call may start before `until`.
    pub(super) fn close(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    /// The provider has said what is left.
    pub(super) fn hear(&mut self, limits: Limits, now: Instant) {
        self.learned.hear(limits, now);
    }

    /// The first token of a call came after `took`.
    pub(super) fn first_token(&mut self, took: Duration) {
        self.concurrency.first_token(took, self.running);
    }

    /// A call of `model` was answered, or it failed.
    pub(super) fn record(&mut self, model: &str, answered: bool, now: Instant) {
        if !self.breakers.contains_key(model) {
            self.breakers.insert(model.to_owned(), Breaker::default());
        }
        if let Some(breaker) = self.breakers.get_mut(model) {
            breaker.record(answered, now);
        }
    }

    /// The share of calls of `model` to reject.
    pub(super) fn rejection(&self, model: &str, now: Instant) -> f64 {
        self.breakers.get(model).map_or(0.0, |breaker| breaker.rejection(now))
    }

    /// The greatest share of calls to reject, over all models.
    pub(super) fn rejection_max(&self, now: Instant) -> f64 {
        self.breakers.values().map(|breaker| breaker.rejection(now)).fold(0.0, f64::max)
    }

    /// The most calls at once.
    pub(super) fn limit(&self) -> u32 {
        self.concurrency.limit()
    }

    /// The calls under way.
    pub(super) const fn running(&self) -> u32 {
        self.running
    }
}
