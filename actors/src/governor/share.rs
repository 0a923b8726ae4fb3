//! This engine's share of a key's limits, and what it has used of it. Pure: the clerk asks for more.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::ledger::{Amount, Quota, SLOT};

/// The engine asks for this many times what the last slot used, so that a growing demand asks once a slot, too.
const HEADROOM: f64 = 1.25;
/// How many slots of use to keep; older ones are settled and written down. A call may end long after its slot.
const SLOTS_KEPT: i64 = 32;

/// An answer that takes longer than this is lost.
pub(super) const ASKING_MAX: Duration = Duration::from_secs(5);

/// The share of one key.
#[derive(Debug)]
pub(super) struct Share {
    quota: Quota,
    lease: Option<Lease>,
    /// What was used in each slot, as far as known now.
    used: BTreeMap<i64, Amount>,
    asking_since: Option<Instant>,
    not_before: Option<Instant>,
}

/// A lease.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// Its slot.
    pub(super) slot: i64,
    /// When the slot is over.
    pub(super) until: Instant,
    /// How much it is good for.
    pub(super) amount: Amount,
}

/// A request to the ledger.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) least: Amount,
    pub(super) wanted: Amount,
    pub(super) quota: Quota,
    /// What was used of leases that are over.
    pub(super) used: BTreeMap<i64, Amount>,
}

/// Whether the share has room for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Has {
    Room,
    /// It must be asked for, which may happen now or is under way.
    None,
    /// Nobody can be asked for this long.
    NoneFor(Duration),
}

impl Share {
    pub(super) const fn new(quota: Quota) -> Self {
        Self { quota, lease: None, used: BTreeMap::new(), asking_since: None, not_before: None }
    }

    /// Whether a call of `tokens` tokens may start.
    pub(super) fn has(&self, tokens: u64, now: Instant) -> Has {
        let need = self.need(tokens);
        let requests = u64::from(self.quota.requests.is_some());
        let has = |Lease { until, amount, .. }: &Lease| {
            *until > now && amount.requests >= requests && amount.tokens >= need
        };
        if self.lease.as_ref().is_some_and(has) {
            return Has::Room;
        }
        let wait = self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        if wait.is_zero() { Has::None } else { Has::NoneFor(wait) }
    }

    /// A call of `tokens` tokens starts, for which there was room; returns the slot that accounts for it.
    pub(super) fn take(&mut self, tokens: u64) -> Option<i64> {
        let need = self.need(tokens);
        let Lease { slot, amount, .. } = self.lease.as_mut()?;
        amount.requests = amount.requests.saturating_sub(1);
        amount.tokens = amount.tokens.saturating_sub(need);
        let used = self.used.entry(*slot).or_default();
        used.requests += 1;
        used.tokens += need;
        Some(*slot)
    }

    /// A call of `slot` has used fewer tokens than it took.
    pub(super) fn settle(&mut self, slot: i64, taken: u64, used: u64) {
        let unused = self.need(taken).saturating_sub(used);
        if let Some(of_slot) = self.used.get_mut(&slot) {
            of_slot.tokens = of_slot.tokens.saturating_sub(unused);
        }
    }

    /// What to ask for while calls of `waiting` wait, the first of `first` tokens; `None` while a question is open.
    pub(super) fn wish(&mut self, first: u64, waiting: Amount, now: Instant) -> Option<Wish> {
        if self.asking_since.is_some_and(|since| now.duration_since(since) < ASKING_MAX) {
            return None;
        }
        self.asking_since = Some(now);
        let before = self.used.last_key_value().map_or_else(Amount::default, |(_, used)| *used);
        let more = |waiting: u64, before: u64| waiting.max((before as f64 * HEADROOM) as u64);
        let wanted = Amount {
            requests: more(waiting.requests, before.requests),
            tokens: more(waiting.tokens, before.tokens),
        };
        let least = Amount { requests: 1, tokens: self.need(first) };
        let lasts = self.lease.filter(|lease| lease.until > now).map(|lease| lease.slot);
        let used = self.used.iter().filter(|(slot, _)| lasts != Some(**slot));
        Some(Wish {
            least,
            wanted,
            quota: self.quota,
            used: used.map(|(slot, used)| (*slot, *used)).collect(),
        })
    }

    /// The ledger has given this lease; `None` if nothing is free or the broker cannot be reached.
    pub(super) fn given(&mut self, lease: Option<Lease>, now: Instant) {
        self.asking_since = None;
        let Some(mut lease) = lease else {
            self.not_before = Some(now + SLOT / 2);
            return;
        };
        self.not_before = None;
        match &self.lease {
            Some(held) if held.slot == lease.slot => {
                lease.amount.requests += held.amount.requests;
                lease.amount.tokens += held.amount.tokens;
            }
            _ => {}
        }
        self.used.entry(lease.slot).or_default();
        self.used.retain(|slot, _| *slot > lease.slot - SLOTS_KEPT);
        self.lease = Some(lease);
    }

    /// What a call of `tokens` tokens takes: one of more than a minute's tokens takes them all.
    fn need(&self, tokens: u64) -> u64 {
        self.quota.tokens.map_or(0, |limit| tokens.min(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { requests: Some(100), tokens: Some(1_000) };

    fn lease(slot: i64, requests: u64, tokens: u64, now: Instant) -> Option<Lease> {
        Some(Lease { slot, until: now + SLOT, amount: Amount { requests, tokens } })
    }

    #[test]
    fn a_lease_is_used_up_or_runs_out_and_what_was_used_is_told_with_the_next_wish() {
        let (mut share, now) = (Share::new(QUOTA), Instant::now());
        assert_eq!(share.has(10, now), Has::None);
        assert!(share.wish(10, Amount::default(), now).is_some());
        assert!(share.wish(10, Amount::default(), now).is_none(), "it is being asked");
        share.given(lease(7, 2, 500, now), now);
        assert_eq!(share.has(501, now), Has::None);
        for tokens in [300, 100] {
            assert_eq!(share.has(tokens, now), Has::Room);
            assert_eq!(share.take(tokens), Some(7));
        }
        assert_eq!(share.has(10, now), Has::None, "two calls");
        share.settle(7, 300, 50);
        share.given(lease(7, 1, 10, now), now);
        assert_eq!(share.has(110, now), Has::Room, "with what was left of the first");
        assert_eq!(share.has(10, now + SLOT), Has::None, "its slot is over");
        let wish = share.wish(10, Amount { requests: 1, tokens: 10 }, now).unwrap();
        assert!(wish.used.is_empty(), "its slot is not over yet");
        share.given(None, now);
        let wish = share.wish(10, Amount { requests: 1, tokens: 10 }, now + SLOT).unwrap();
        assert_eq!(wish.used[&7], Amount { requests: 2, tokens: 150 });
        assert_eq!(wish.wanted, Amount { requests: 2, tokens: 187 });
        share.given(None, now);
        assert_eq!(share.has(10, now + SLOT), Has::None);
        assert!(matches!(share.has(501, now), Has::NoneFor(_)));
    }
}
