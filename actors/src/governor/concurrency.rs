//! Finds out by trying how many calls at once a key bears. Pure.
//!
//! AIMD for hosted APIs: a rate-limit refusal takes a fifth away, each round of answers adds one. For self-hosted
//! servers, the gradient of the time to the first token, as in Netflix's `Gradient2Limit`: while it grows, calls queue
//! there and not here. Never the time of a whole answer, which only tells how long the answer is.

use std::time::Duration;

use adapters::Adaptive;
use tokio::time::Instant;

/// What a refusal leaves of the limit.
const SHRINK: f64 = 0.8;
/// A call is still quick if its first token takes this many times as long as in the long run.
const TOLERANCE: f64 = 1.5;
/// This many calls may queue at the provider: room to find out that it bears more.
const QUEUE: f64 = 4.0;
/// How much of the newest finding counts.
const SMOOTHING: f64 = 0.2;
/// The long run: the average of about this many calls.
const LONG_RUN: f64 = 600.0;
/// Where a gradient begins: low, since it grows fast.
const GRADIENT_START: f64 = 20.0;

/// The limit of calls at once.
#[derive(Debug)]
pub(super) struct Concurrency {
    adaptive: Adaptive,
    ceiling: f64,
    limit: f64,
    shrunk_at: Option<Instant>,
    samples: f64,
    /// The time to the first token in the long run, in seconds.
    long: f64,
}

impl Concurrency {
    /// Never more than `ceiling`. AIMD begins there: the operator says that the provider bears it.
    pub(super) fn new(adaptive: Adaptive, ceiling: u32) -> Self {
        let ceiling = f64::from(ceiling.max(1));
        let limit = if adaptive == Adaptive::Gradient { ceiling.min(GRADIENT_START) } else { ceiling };
        Self { adaptive, ceiling, limit, shrunk_at: None, samples: 0.0, long: 0.0 }
    }

    /// The most calls at once, now.
    pub(super) fn limit(&self) -> u32 {
        self.limit as u32
    }

    /// A call was answered while `running` calls ran, itself included.
    pub(super) fn answered(&mut self, running: u32) {
        if self.adaptive == Adaptive::Aimd && self.is_used(running) {
            self.set(self.limit + 1.0 / self.limit);
        }
    }

    /// A rate limit refused a call that began at `began`. Calls that began before the last refusal tell nothing new.
    pub(super) fn throttled(&mut self, began: Instant, now: Instant) {
        if self.adaptive != Adaptive::Off && self.shrunk_at.is_none_or(|shrunk_at| began > shrunk_at) {
            self.shrunk_at = Some(now);
            self.set(self.limit * SHRINK);
        }
    }

    /// The first token of a call came after `took`, while `running` calls ran.
    pub(super) fn first_token(&mut self, took: Duration, running: u32) {
        if self.adaptive != Adaptive::Gradient {
            return;
        }
        let short = took.as_secs_f64().max(1e-4);
        self.samples = (self.samples + 1.0).min(LONG_RUN);
        self.long += (short - self.long) / self.samples;
        if self.long / short > 2.0 {
            // After a slow time, the long run must not count as normal for long.
            self.long *= 0.95;
        }
        if self.is_used(running) {
            let gradient = (TOLERANCE * self.long / short).clamp(0.5, 1.0);
            let found = self.limit * gradient + QUEUE;
            self.set(self.limit * (1.0 - SMOOTHING) + found * SMOOTHING);
        }
    }

    /// A limit that is not half used does not tell whether more would do.
    fn is_used(&self, running: u32) -> bool {
        f64::from(running) * 2.0 >= self.limit.floor()
    }

    fn set(&mut self, limit: f64) {
        self.limit = limit.clamp(1.0, self.ceiling);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_refusal_takes_a_fifth_and_each_round_of_answers_gives_one() {
        let (mut found, now) = (Concurrency::new(Adaptive::Aimd, 100), Instant::now());
        found.throttled(now, now + SECOND);
        assert_eq!(found.limit(), 80);
        (0..50).for_each(|_| found.throttled(now, now + SECOND));
        assert_eq!(found.limit(), 80, "they had begun before");
        (0..82).for_each(|_| found.answered(80));
        assert_eq!(found.limit(), 81);
        (0..10_000).for_each(|_| found.answered(10));
        assert_eq!(found.limit(), 81, "nobody needs more");
    }

    #[test]
    fn a_server_that_gets_slower_is_given_less_and_one_that_is_quick_more() {
        let mut found = Concurrency::new(Adaptive::Gradient, 200);
        (0..200).for_each(|_| found.first_token(SECOND, found.limit()));
        let quick = found.limit();
        assert!(quick > 100, "{quick}");
        (0..30).for_each(|_| found.first_token(SECOND * 10, found.limit()));
        assert!(found.limit() < quick / 4, "{}", found.limit());
        (0..400).for_each(|_| found.first_token(SECOND, found.limit()));
        assert!(found.limit() > 100, "{}", found.limit());
    }

    proptest! {
        #[test]
        fn it_stays_between_one_and_its_ceiling(
            ceiling in 1..500_u32,
            adaptive in prop::sample::select(vec![Adaptive::Off, Adaptive::Aimd, Adaptive::Gradient]),
            events in prop::collection::vec((0..3_u8, 0..100_000_u64, 0..600_u32), 0..300),
        ) {
            let (mut found, mut now) = (Concurrency::new(adaptive, ceiling), Instant::now());
            for (event, milliseconds, running) in events {
                let began = now;
                now += Duration::from_millis(1);
                match event {
                    0 => found.answered(running),
                    1 => found.throttled(began, now),
                    _ => found.first_token(Duration::from_millis(milliseconds), running),
                }
                prop_assert!((1..=ceiling).contains(&found.limit()), "{}", found.limit());
                prop_assert!(adaptive != Adaptive::Off || found.limit() == ceiling);
            }
        }
    }
}
