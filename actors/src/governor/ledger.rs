//! The leases on a key's limits that engines on one broker hold: kept in the broker, changed by compare-and-swap. Pure.
//!
//! The broker's clock cuts time into slots. A lease is good for calls that start in its slot. A minute touches 31 slots
//! of two seconds; the leases of 32 slots add up to the limit at most, so no minute holds more, as long as the clocks
//! differ by less than a slot. An engine that dies with a lease has used it; one that comes back finds what was used.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

/// How long a lease lasts.
pub(super) const SLOT: Duration = Duration::from_secs(2);
/// The slots that a minute can touch, plus one for clocks that differ.
const SPAN: i64 = 32;

/// Calls and tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Amount {
    pub(super) requests: u64,
    pub(super) tokens: u64,
}

/// The limits of a minute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    pub(super) requests: Option<u64>,
    pub(super) tokens: Option<u64>,
}

/// The leases of the last minute.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    leases: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    node: String,
    slot: i64,
    amount: Amount,
}

impl Ledger {
    /// `node` has used at most `used` of its leases of `slot`, which is over: the rest is free again.
    pub(super) fn give_back(&mut self, node: &str, slot: i64, used: Amount) {
        if let Some(entry) = self.leases.iter_mut().find(|entry| entry.node == node && entry.slot == slot) {
            entry.amount.requests = entry.amount.requests.min(used.requests);
            entry.amount.tokens = entry.amount.tokens.min(used.tokens);
        }
    }

    /// Leases to `node`, at `slot`, up to `wanted` and at least `least`; `None` if that is not free. Returns the
    /// lease's slot: that of the clock furthest ahead.
    ///
    /// Each node seen in the last minute gets its part of what is free, so that there is some for all.
    pub(super) fn lease(
        &mut self,
        node: &str,
        slot: i64,
        least: Amount,
        wanted: Amount,
        quota: Quota,
    ) -> Option<(i64, Amount)> {
        let slot = self.leases.iter().map(|entry| entry.slot).fold(slot, i64::max);
        self.leases.retain(|entry| entry.slot > slot - SPAN);
        let nodes: BTreeSet<&str> = self.leases.iter().map(|entry| &*entry.node).chain([node]).collect();
        let nodes = nodes.len() as u64;
        let part = |limit: Option<u64>, of: fn(&Amount) -> u64| {
            let Some(limit) = limit else { return Some(0) };
            let free = limit.saturating_sub(self.leases.iter().map(|entry| of(&entry.amount)).sum());
            let least = of(&least).min(limit);
            (free >= least).then(|| of(&wanted).min(free / nodes).max(least))
        };
        let requests = part(quota.requests, |amount| amount.requests)?;
        let tokens = part(quota.tokens, |amount| amount.tokens)?;
        let amount = Amount { requests, tokens };
        match self.leases.iter_mut().find(|entry| entry.node == node && entry.slot == slot) {
            Some(entry) => {
                entry.amount.requests += requests;
                entry.amount.tokens += tokens;
            }
            None => self.leases.push(Entry { node: node.to_owned(), slot, amount }),
        }
        Some((slot, amount))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NODES: [&str; 3] = ["a", "b", "c"];
    const QUOTA: Quota = Quota { requests: Some(50), tokens: Some(1_000) };

    /// A step: who, how many slots later, what is wanted, and how much of its last lease was not used.
    fn steps() -> impl Strategy<Value = Vec<(usize, i64, u64, u64, u64)>> {
        prop::collection::vec((0..NODES.len(), 0..3_i64, 0..60_u64, 0..1_200_u64, 0..20_u64), 1..200)
    }

    proptest! {
        #[test]
        fn no_minute_is_given_more_than_the_limit(steps in steps()) {
            let (mut ledger, mut slot) = (Ledger::default(), 1_000);
            let mut given = Vec::<(usize, i64, Amount)>::new();
            for (node, later, requests, tokens, unused) in steps {
                slot += later;
                if let Some(last) = given.iter_mut().rfind(|(other, at, _)| *other == node && *at < slot) {
                    last.2.requests = last.2.requests.saturating_sub(unused);
                    // The leases of one slot are one entry.
                    let (at, of_slot) = (last.1, node);
                    let of_slot = given.iter().filter(|(other, other_at, _)| *other == of_slot && *other_at == at);
                    let used = of_slot.fold(Amount::default(), |sum, (_, _, amount)| Amount {
                        requests: sum.requests + amount.requests,
                        tokens: sum.tokens + amount.tokens,
                    });
                    ledger.give_back(NODES[node], at, used);
                }
                let least = Amount { requests: 1, tokens: tokens / 10 };
                let wanted = Amount { requests, tokens };
                if let Some((at, amount)) = ledger.lease(NODES[node], slot, least, wanted, QUOTA) {
                    prop_assert!(amount.requests >= 1 && amount.tokens >= least.tokens.min(1_000));
                    given.push((node, at, amount));
                }
            }
            for first in 1_000 - SPAN..slot {
                let minute = given.iter().filter(|(_, at, _)| (first..first + SPAN).contains(at));
                let (requests, tokens) = minute
                    .fold((0, 0), |(requests, tokens), (_, _, amount)| (requests + amount.requests, tokens + amount.tokens));
                prop_assert!(requests <= 50 && tokens <= 1_000, "{requests} calls, {tokens} tokens");
            }
        }
    }

    #[test]
    fn there_is_some_for_each_and_what_is_given_back_is_for_others() {
        let mut ledger = Ledger::default();
        let (least, wanted) = (Amount { requests: 1, tokens: 1 }, Amount { requests: 100, tokens: 100 });
        let mut lease = |node: &str, slot| {
            ledger.lease(node, slot, least, wanted, QUOTA).map(|(_, amount)| amount.requests)
        };
        assert_eq!(lease("a", 1), Some(50), "it was alone");
        assert_eq!(lease("b", 1), None);
        ledger.give_back("a", 1, Amount { requests: 10, tokens: 100 });
        let mut lease = |node: &str, slot| {
            ledger.lease(node, slot, least, wanted, QUOTA).map(|(_, amount)| amount.requests)
        };
        assert_eq!(lease("b", 2), Some(20), "half of what is left");
        assert_eq!(lease("a", 2), Some(10));
        assert_eq!(lease("a", SPAN), Some(5), "its first lease is still counted");
        assert_eq!(lease("b", SPAN + 1), Some(7), "and now it is not: half of 15 is left");
    }

    #[test]
    fn whoever_is_behind_goes_by_the_clock_of_whoever_is_ahead() {
        let mut ledger = Ledger::default();
        let one = Amount { requests: 1, tokens: 0 };
        assert_eq!(ledger.lease("a", 9, one, one, QUOTA), Some((9, one)));
        assert_eq!(ledger.lease("b", 7, one, one, QUOTA), Some((9, one)));
    }
}
