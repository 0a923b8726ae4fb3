//! Decides how many failed calls are worth a second try, so that a provider that is down does not get several times as
//! many calls: the retry throttling of gRPC. Pure, but for the lock around it.

use std::sync::Arc;

use parking_lot::Mutex;

/// The tokens at first, and at most.
const TOKENS_MAX: f64 = 20.0;
/// What an answered call adds; a failed one takes a whole token.
const PER_ANSWER: f64 = 0.1;

/// The tries left for a provider, shared by all its callers. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Retries(Arc<Mutex<Budget>>);

impl Retries {
    /// A call was answered, or it failed.
    pub(super) fn record(&self, answered: bool) {
        self.0.lock().record(answered);
    }

    /// Whether a failed call may be tried again.
    pub(super) fn may_retry(&self) -> bool {
        self.0.lock().may_retry()
    }

    /// Takes a try for a call beside one that has not failed, if one is left.
    pub(super) fn spend(&self) -> bool {
        self.0.lock().spend()
    }
}

#[derive(Debug)]
struct Budget {
    tokens: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { tokens: TOKENS_MAX }
    }
}

impl Budget {
    fn record(&mut self, answered: bool) {
        let change = if answered { PER_ANSWER } else { -1.0 };
        self.tokens = (self.tokens + change).clamp(0.0, TOKENS_MAX);
    }

    fn spend(&mut self) -> bool {
        let may_spend = self.may_retry();
        if may_spend {
            self.record(false);
        }
        may_spend
    }

    const fn may_retry(&self) -> bool {
        self.tokens > TOKENS_MAX / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_is_down_is_soon_called_only_once_a_request() {
        let mut budget = Budget::default();
        let mut calls = 0;
        for _ in 0..100 {
            for call in 0..3 {
                if call > 0 && !budget.may_retry() {
                    break;
                }
                calls += 1;
                budget.record(false);
            }
        }
        assert!((101..=110).contains(&calls), "{calls} calls of 100 requests");
        (0..20).for_each(|_| budget.record(true));
        assert!(!budget.may_retry(), "trust comes back slowly");
        (0..100).for_each(|_| budget.record(true));
        assert!(budget.may_retry());
    }

    #[test]
    fn of_a_provider_that_is_slow_only_few_calls_are_made_twice() {
        let mut budget = Budget::default();
        let hedged = (0..1_000)
            .filter(|_| {
                budget.record(true);
                budget.spend()
            })
            .count();
        assert!((100..=111).contains(&hedged), "{hedged} of 1000 answered calls");
    }

    #[test]
    fn one_failure_in_eleven_calls_is_always_tried_again() {
        let mut budget = Budget::default();
        for _ in 0..1_000 {
            budget.record(false);
            assert!(budget.may_retry());
            (0..10).for_each(|_| budget.record(true));
        }
    }
}
