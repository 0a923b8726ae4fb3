//! Allows at most so many calls in any minute, wherever the minute begins. Pure: the caller supplies the time, and a
//! look takes nothing.

use std::{
    fmt,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::StateInformationMiddleware,
    nanos::Nanos,
    state::{NotKeyed, StateStore},
};
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);

/// A limit of calls a minute.
pub(super) struct Rate {
    limiter: RateLimiter<NotKeyed, Account, Told, StateInformationMiddleware>,
    account: Account,
    time: Told,
    burst: u32,
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rate").field("burst", &self.burst).finish_non_exhaustive()
    }
}

impl Rate {
    /// At most `limit` calls in any window of a minute.
    ///
    /// A bucket that holds a whole minute's calls would let twice the limit pass around its first minute. So a tenth
    /// may start at once and the rest is spread: `burst + window / period <= limit`.
    pub(super) fn per_minute(limit: u32) -> Self {
        let limit = limit.max(1);
        let burst = (limit / 10).max(1);
        // Rounded up: periods that are a nanosecond too short let one more call into the minute.
        let period = WINDOW / (limit - burst + 1) + Duration::from_nanos(1);
        let unlimited = Quota::per_second(NonZeroU32::MAX);
        let quota = Quota::with_period(period).unwrap_or(unlimited);
        let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN));
        let (account, time) = (Account::default(), Told::new());
        let limiter = RateLimiter::new(quota, account.clone(), time.clone());
        Self { limiter, account, time, burst }
    }

    /// How long until a call may start.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.look(now).err().unwrap_or_default()
    }

    /// A call starts now, for which there was no wait.
    pub(super) fn take(&mut self, now: Instant) {
        self.time.tell(now);
        self.account.0.kept.store(true, Ordering::Relaxed);
        // The caller has looked before; a call that starts all the same is its own responsibility.
        let _ = self.limiter.check();
        self.account.0.kept.store(false, Ordering::Relaxed);
    }

    /// The share left of the calls that may start at once.
    pub(super) fn free(&self, now: Instant) -> f64 {
        self.look(now).map_or(0.0, |left| f64::from(left) / f64::from(self.burst))
    }

    /// How many calls may start at once, or how long until one may.
    fn look(&self, now: Instant) -> Result<u32, Duration> {
        self.time.tell(now);
        match self.limiter.check() {
            Ok(after_one) => Ok(after_one.remaining_burst_capacity() + 1),
            Err(until) => Err(until.wait_time_from(self.time.now())),
        }
    }
}

/// When the next call is due if all come evenly. Written only when a call is really taken.
#[derive(Debug, Clone, Default)]
struct Account(Arc<Entry>);

#[derive(Debug, Default)]
struct Entry {
    due: AtomicU64,
    kept: AtomicBool,
}

impl StateStore for Account {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let due = self.0.due.load(Ordering::Relaxed);
        let (answer, next) = measure((due > 0).then(|| due.into()))?;
        if self.0.kept.load(Ordering::Relaxed) {
            self.0.due.store(next.into(), Ordering::Relaxed);
        }
        Ok(answer)
    }
}

/// The last time the caller supplied, as nanoseconds since the limit was made.
#[derive(Debug, Clone)]
struct Told {
    origin: Instant,
    since: Arc<AtomicU64>,
}

impl Told {
    fn new() -> Self {
        Self { origin: Instant::now(), since: Arc::default() }
    }

    fn tell(&self, now: Instant) {
        let since = now.saturating_duration_since(self.origin).as_nanos();
        self.since.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Clock for Told {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.since.load(Ordering::Relaxed).into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes whatever is to be had for three minutes, and stays away now and then; returns when.
    fn greedy(limit: u32, pauses: &[u64]) -> Vec<Instant> {
        let mut rate = Rate::per_minute(limit);
        let start = Instant::now();
        let (mut now, mut taken, mut pauses) = (start, Vec::new(), pauses.iter());
        while now - start < 3 * WINDOW {
            let wait = rate.wait(now);
            if wait.is_zero() {
                rate.take(now);
                taken.push(now);
                if taken.len() % 17 == 0 {
                    now += Duration::from_millis(pauses.next().copied().unwrap_or(0));
                }
            }
            now += wait;
        }
        taken
    }

    fn held(limit: u32, taken: &[Instant]) -> Result<(), TestCaseError> {
        for (index, first) in taken.iter().enumerate() {
            let within = taken[index..].iter().take_while(|at| at.duration_since(*first) < WINDOW).count();
            prop_assert!(within <= limit as usize, "{within} calls in a minute, the limit is {limit}");
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn no_window_of_a_minute_holds_more_than_the_limit(limit in 1..400_u32, pauses: [u16; 4]) {
            held(limit, &greedy(limit, &pauses.map(u64::from)))?;
            let taken = greedy(limit, &[]);
            held(limit, &taken)?;
            prop_assert!(taken.len() >= (2 * limit) as usize, "only {} calls in three minutes", taken.len());
        }
    }
}
