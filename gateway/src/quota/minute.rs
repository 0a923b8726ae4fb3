//! Counts what was asked for in the last minute, by the second. Pure: the caller passes the time in.

use tokio::time::Instant;

/// 60 full seconds, and the current one.
const SECONDS: usize = 61;

/// A sliding minute: no 60 seconds ever hold more than the limit.
#[derive(Debug)]
pub(super) struct Minute {
    origin: Option<Instant>,
    /// By the second, modulo their number.
    counts: [u32; SECONDS],
    /// The last second that was counted.
    last: u64,
}

impl Default for Minute {
    fn default() -> Self {
        Self { origin: None, counts: [0; SECONDS], last: 0 }
    }
}

impl Minute {
    /// How long until `amount` fits under `limit`, in milliseconds; `None` if it fits now.
    pub(super) fn wait_ms(&mut self, now: Instant, amount: u32, limit: u32) -> Option<u64> {
        let second = self.turn_to(now);
        let mut sum: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let room = u64::from(limit.saturating_sub(amount));
        if sum <= room {
            return None;
        }
        // The oldest second expires first.
        for later in 1..=SECONDS as u64 {
            sum -= u64::from(self.counts[index(second + later)]);
            if sum <= room {
                return Some(self.until_ms(now, second + later));
            }
        }
        Some(self.until_ms(now, second + SECONDS as u64))
    }

    /// Counts `amount` now.
    pub(super) fn add(&mut self, now: Instant, amount: u32) {
        let count = index(self.turn_to(now));
        self.counts[count] = self.counts[count].saturating_add(amount);
    }

    /// Changes what was counted at `then` from `before` to `after`; ignored if that is over a minute ago.
    pub(super) fn correct(&mut self, then: Instant, before: u32, after: u32) {
        let second = self.second(then);
        if second + (SECONDS as u64) > self.last {
            let count = &mut self.counts[index(second)];
            *count = count.saturating_sub(before).saturating_add(after);
        }
    }

    /// Forgets what is over a minute ago; returns the current second.
    fn turn_to(&mut self, now: Instant) -> u64 {
        let second = self.second(now).max(self.last);
        for passed in (self.last + 1..=second).take(SECONDS) {
            self.counts[index(passed)] = 0;
        }
        self.last = second;
        second
    }

    fn second(&mut self, at: Instant) -> u64 {
        at.duration_since(*self.origin.get_or_insert(at)).as_secs()
    }

    fn until_ms(&self, now: Instant, second: u64) -> u64 {
        let passed = self.origin.map_or(0, |origin| now.duration_since(origin).as_millis());
        u64::try_from(u128::from(second) * 1_000 - passed.min(u128::from(second) * 1_000)).unwrap_or(u64::MAX)
    }
}

const fn index(second: u64) -> usize {
    (second % SECONDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    proptest! {
        #[test]
        fn in_no_minute_more_is_counted_than_the_limit(
            steps in proptest::collection::vec((0..20_000_u64, 1..5_u32), 1..200), limit in 4..20_u32,
        ) {
            let (mut minute, mut now) = (Minute::default(), Instant::now());
            let mut taken: Vec<(Instant, u32)> = Vec::new();
            for (pause, amount) in steps {
                now += Duration::from_millis(pause);
                match minute.wait_ms(now, amount, limit) {
                    None => {
                        minute.add(now, amount);
                        taken.push((now, amount));
                    }
                    Some(wait) => {
                        prop_assert!((1..=61_000).contains(&wait), "{}", wait);
                        let then = now + Duration::from_millis(wait);
                        prop_assert_eq!(minute.wait_ms(then, amount, limit), None, "as was told");
                        now = then;
                    }
                }
            }
            for (end, _) in &taken {
                let within = taken.iter().filter(|(at, _)| at <= end && *end - *at <= MINUTE);
                prop_assert!(within.map(|(_, amount)| amount).sum::<u32>() <= limit);
            }
        }
    }

    #[test]
    fn what_was_not_used_is_free_again_and_what_was_used_beyond_counts() {
        let (mut minute, now) = (Minute::default(), Instant::now());
        minute.add(now, 90);
        assert!(minute.wait_ms(now, 20, 100).is_some());
        minute.correct(now, 90, 10);
        assert_eq!(minute.wait_ms(now, 90, 100), None);
        minute.correct(now, 10, 500);
        let wait = minute.wait_ms(now + MINUTE / 2, 1, 100).unwrap();
        assert!((30_000..=31_000).contains(&wait), "{wait}");
        let late = now + 3 * MINUTE;
        minute.add(late, 1);
        minute.correct(now, 500, 900);
        assert_eq!(minute.wait_ms(late, 99, 100), None, "that was long ago");
    }
}
