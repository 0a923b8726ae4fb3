//! Decides whether calls of a model by a key are worth making: adaptive throttling, as in "Handling Overload" of
//! Google's book on site reliability. The more of the last calls failed, the more of the next ones it rejects. Pure.
//!
//! There is no open or closed state, so nobody has to guess when to try again, and no herd waits for it: some calls
//! always go, and each answered call lets more of them go. A call counts when its fate is known, not when it begins: a
//! provider that thinks for a minute before it speaks is not one that fails.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// How long a call counts: longer than most calls take to their first token.
const WINDOW: Duration = Duration::from_secs(120);
/// Calls that ended within this time are counted together.
const SLOT: Duration = Duration::from_secs(10);
/// The book's K: calls are rejected when fewer than one in this many is answered.
const CALLS_PER_ANSWER: f64 = 2.0;
/// Fewer calls than this tell nothing.
const CALLS_MIN: u32 = 10;
/// Some calls always go, so that the end of the trouble is noticed soon.
const REJECTION_MAX: f64 = 0.9;

/// The last calls of one model by one key.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Oldest first.
    slots: VecDeque<Slot>,
}

#[derive(Debug)]
struct Slot {
    began: Instant,
    calls: u32,
    answered: u32,
}

impl Breaker {
    /// A call was answered (its first token came), or it failed.
    pub(super) fn record(&mut self, answered: bool, now: Instant) {
        self.slots.retain(|slot| now.duration_since(slot.began) < WINDOW);
        if self.slots.back().is_none_or(|slot| now.duration_since(slot.began) >= SLOT) {
            self.slots.push_back(Slot { began: now, calls: 0, answered: 0 });
        }
        if let Some(slot) = self.slots.back_mut() {
            slot.calls += 1;
            slot.answered += u32::from(answered);
        }
    }

    /// The share of calls to reject now.
    pub(super) fn rejection(&self, now: Instant) -> f64 {
        let recent = self.slots.iter().filter(|slot| now.duration_since(slot.began) < WINDOW);
        let (calls, answered) =
            recent.fold((0, 0), |(calls, answered), slot| (calls + slot.calls, answered + slot.answered));
        if calls < CALLS_MIN {
            return 0.0;
        }
        let (calls, answered) = (f64::from(calls), f64::from(answered));
        ((calls - CALLS_PER_ANSWER * answered) / (calls + 1.0)).clamp(0.0, REJECTION_MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(calls: u32, answered: u32) -> (Breaker, Instant) {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        (0..calls).for_each(|call| breaker.record(call < answered, now));
        (breaker, now)
    }

    #[test]
    fn a_few_failures_reject_nothing_and_many_reject_nearly_everything_for_a_while() {
        let (breaker, now) = after(CALLS_MIN - 1, 0);
        assert_eq!(breaker.rejection(now), 0.0);
        let (breaker, now) = after(CALLS_MIN * 2, 0);
        assert_eq!(breaker.rejection(now), REJECTION_MAX);
        assert_eq!(breaker.rejection(now + WINDOW), 0.0, "they are long ago");
    }

    #[test]
    fn a_provider_that_comes_back_is_trusted_again_within_a_minute() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        let (mut debt, mut healed) = (0.0, 0);
        // One call a second; every tenth goes at the worst, without any chance in it.
        for second in 0..300 {
            now += Duration::from_secs(1);
            debt += 1.0 - breaker.rejection(now);
            if debt >= 1.0 {
                debt -= 1.0;
                breaker.record(second >= 200, now);
            }
            if second >= 200 && breaker.rejection(now) > 0.0 {
                healed = second - 200;
            }
        }
        assert!((1..60).contains(&healed), "{healed} s");
    }

    proptest! {
        #[test]
        fn half_of_the_calls_answered_is_good_enough(calls in 1..1_000_u32, share in 0.0..=1.0_f64) {
            let answered = (f64::from(calls) * share) as u32;
            let (breaker, now) = after(calls, answered);
            let rejection = breaker.rejection(now);
            prop_assert!((0.0..=REJECTION_MAX).contains(&rejection));
            if answered * 2 >= calls {
                prop_assert_eq!(rejection, 0.0);
            }
        }
    }
}
