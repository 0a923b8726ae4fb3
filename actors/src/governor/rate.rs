//! At most so many calls in any minute, however the minute is laid. On tokio's clock, so that paused time rules it.

use std::{fmt, num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);

/// A limit of calls a minute.
pub(super) struct Rate(RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>);

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rate")
    }
}

impl Rate {
    /// At most `limit` calls in any window of a minute.
    ///
    /// A bucket that holds a whole minute's calls would let twice the limit pass around its first minute. So a tenth may
    /// come at once and the rest is spread: `burst + window / period <= limit`.
    pub(super) fn per_minute(limit: u32) -> Self {
        let limit = limit.max(1);
        let burst = (limit / 10).max(1);
        // Rounded up: periods that fall short of the minute by a nanosecond let one more call into it.
        let period = WINDOW / (limit - burst + 1) + Duration::from_nanos(1);
        let unlimited = Quota::per_second(NonZeroU32::MAX);
        let quota = Quota::with_period(period).unwrap_or(unlimited);
        let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
        Self(RateLimiter::direct_with_clock(quota, TokioClock(Instant::now())))
    }

    /// Takes one call, or says how long to wait for it.
    pub(super) fn take(&mut self) -> Result<(), Duration> {
        self.0.check().map_err(|until| until.wait_time_from(self.0.clock().now()))
    }
}

/// Nanoseconds since the limiter was made.
#[derive(Debug, Clone)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes whatever is to be had for three minutes; returns when.
    async fn greedy(limit: u32) -> Vec<Instant> {
        let mut rate = Rate::per_minute(limit);
        let (start, mut taken) = (Instant::now(), Vec::new());
        while start.elapsed() < 3 * WINDOW {
            match rate.take() {
                Ok(()) => taken.push(Instant::now()),
                Err(wait) => tokio::time::advance(wait.max(Duration::from_nanos(1))).await,
            }
        }
        taken
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn no_window_of_a_minute_holds_more_than_the_limit(limit in 1..400_u32) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            let taken = runtime.unwrap().block_on(greedy(limit));
            for (index, first) in taken.iter().enumerate() {
                let within = taken[index..].iter().take_while(|at| at.duration_since(*first) < WINDOW).count();
                prop_assert!(within <= limit as usize, "{within} calls in a minute, the limit is {limit}");
            }
            prop_assert!(taken.len() >= (2 * limit) as usize, "only {} calls in three minutes", taken.len());
        }
    }
}
