//! The counts that the simulator keeps between calls: requests a minute for a model, and how often a fault has hit.
//! Its callers tell it the time; it never reads a clock.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// The window of `rpm`.
const WINDOW: Duration = Duration::from_secs(60);

/// Names remembered at once. Forgetting one only makes the simulator more lenient with it.
const MAX_NAMES: usize = 10_000;

/// What a caller may still do, as the `x-ratelimit-*-requests` headers tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// Until the whole limit is free again.
    pub(super) reset: Duration,
}

/// The calls admitted within the last minute, oldest first.
#[derive(Debug, Default)]
pub(super) struct SlidingWindow {
    admitted: VecDeque<Instant>,
}

impl SlidingWindow {
    /// Admits one more call at `now`.
    ///
    /// # Errors
    /// The wait until the next call is admitted, if `limit` calls were within the last minute.
    pub(super) fn admit(&mut self, limit: u32, now: Instant) -> Result<Standing, Duration> {
        while self.admitted.front().is_some_and(|at| *at + WINDOW <= now) {
            self.admitted.pop_front();
        }
        let used = u32::try_from(self.admitted.len()).unwrap_or(u32::MAX);
        if used >= limit {
            // The limit may have been lowered since, so the call that has to leave need not be the oldest.
            let leaves = self.admitted.get((used - limit) as usize).map_or(now, |at| *at + WINDOW);
            return Err(leaves - now);
        }
        self.admitted.push_back(now);
        Ok(Standing { limit, remaining: limit - used - 1, reset: WINDOW })
    }
}

/// One value for each of the latest names.
#[derive(Debug)]
pub(super) struct Named<V> {
    values: HashMap<String, V>,
    order: VecDeque<String>,
}

impl<V> Default for Named<V> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: VecDeque::new() }
    }
}

impl<V: Default> Named<V> {
    /// The value of `name`; a new one if the name is new or was forgotten.
    pub(super) fn of(&mut self, name: &str) -> &mut V {
        if !self.values.contains_key(name) {
            if self.order.len() >= MAX_NAMES
                && let Some(oldest) = self.order.pop_front()
            {
                self.values.remove(&oldest);
            }
            self.order.push_back(name.to_owned());
        }
        self.values.entry(name.to_owned()).or_default()
    }
}

/// Writes a duration as Go does, to the millisecond: `6ms`, `1.5s`, `6m0s`, `1h2m3s`.
pub(super) fn go_duration(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    if seconds == 0 {
        return if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") };
    }
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let mut text = match (hours, minutes) {
        (0, 0) => String::new(),
        (0, minutes) => format!("{minutes}m"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    };
    text += &(seconds % 60).to_string();
    if millis > 0 {
        text += format!(".{millis:03}").trim_end_matches('0');
    }
    text + "s"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_window_slides_and_says_how_long_to_wait() {
        let start = Instant::now();
        let mut window = SlidingWindow::default();
        assert_eq!(window.admit(2, start), Ok(Standing { limit: 2, remaining: 1, reset: WINDOW }));
        assert_eq!(window.admit(2, at(start, 20)).map(|standing| standing.remaining), Ok(0));
        assert_eq!(window.admit(2, at(start, 50)), Err(Duration::from_secs(10)));
        assert!(window.admit(2, at(start, 60)).is_ok(), "the first has left");
        assert_eq!(window.admit(2, at(start, 60)), Err(Duration::from_secs(20)), "the second has not");
    }

    #[test]
    fn a_refused_call_uses_nothing_up() {
        let start = Instant::now();
        let mut window = SlidingWindow::default();
        assert!(window.admit(1, start).is_ok());
        for second in 1..60 {
            assert!(window.admit(1, at(start, second)).is_err());
        }
        assert!(window.admit(1, at(start, 60)).is_ok());
    }

    #[test]
    fn a_lowered_limit_waits_for_enough_calls_to_leave() {
        let start = Instant::now();
        let mut window = SlidingWindow::default();
        for second in 0..3 {
            assert!(window.admit(3, at(start, second)).is_ok());
        }
        assert_eq!(window.admit(1, at(start, 10)), Err(Duration::from_secs(52)));
    }

    #[test]
    fn the_oldest_name_is_forgotten_when_there_are_too_many() {
        let mut counts = Named::<u32>::default();
        *counts.of("first") = 7;
        for name in 1..MAX_NAMES {
            *counts.of(&name.to_string()) = 1;
        }
        assert_eq!(*counts.of("first"), 7);
        counts.of("one too many");
        assert_eq!(*counts.of("first"), 0);
        assert_eq!(counts.order.len(), MAX_NAMES);
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let table = [
            (0, "0s"),
            (6, "6ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (59_871, "59.871s"),
            (60_000, "1m0s"),
            (360_000, "6m0s"),
            (3_723_000, "1h2m3s"),
            (3_600_000, "1h0m0s"),
        ];
        for (millis, text) in table {
            assert_eq!(go_duration(Duration::from_millis(millis)), text);
        }
    }
}
