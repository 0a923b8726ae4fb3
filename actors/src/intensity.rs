//! Decides how many restarts are too many. Pure.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// At most `restarts` within `window`; one more means that restarting does not help.
#[derive(Debug, Clone)]
pub struct Intensity {
    restarts: usize,
    window: Duration,
    recent: VecDeque<Instant>,
}

impl Intensity {
    /// Allows `restarts` within `window`.
    pub fn new(restarts: usize, window: Duration) -> Self {
        Self { restarts, window, recent: VecDeque::new() }
    }

    /// Counts a death at `now`. `Some(n)`: restart, this is the n-th within the window. `None`: too many.
    pub fn record(&mut self, now: Instant) -> Option<u32> {
        while self.recent.front().is_some_and(|first| now.duration_since(*first) >= self.window) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        let count = self.recent.len();
        (count <= self.restarts).then(|| u32::try_from(count).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_deaths_are_forgotten_and_too_many_young_ones_are_not_forgiven() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut intensity = Intensity::new(2, Duration::from_secs(10));
        assert_eq!(intensity.record(at(0)), Some(1));
        assert_eq!(intensity.record(at(1)), Some(2));
        assert_eq!(intensity.record(at(2)), None);
        assert_eq!(intensity.record(at(30)), Some(1));
    }
}
