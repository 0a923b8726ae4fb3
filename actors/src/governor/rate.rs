//! At most so many calls in any minute, however the minute is laid: the generic cell rate algorithm. Pure.

use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);

/// A limit of calls a minute.
#[derive(Debug)]
pub(super) struct Rate {
    period: Duration,
    /// How much earlier than its due time a call may come: so many periods at once.
    burst: u32,
    /// When the next call is due if all come evenly.
    due: Option<Instant>,
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
        Self { period, burst, due: None }
    }

    /// How long until a call may start.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.ahead(now).saturating_sub(self.period * (self.burst - 1))
    }

    /// A call starts now, for which there was no wait.
    pub(super) fn take(&mut self, now: Instant) {
        self.due = Some(now + self.ahead(now) + self.period);
    }

    /// The share of the calls that may come at once which is left.
    pub(super) fn free(&self, now: Instant) -> f64 {
        let whole = self.period * self.burst;
        1.0 - self.ahead(now).as_secs_f64() / whole.as_secs_f64()
    }

    fn ahead(&self, now: Instant) -> Duration {
        self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now))
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
