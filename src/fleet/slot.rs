//! Decides what follows the death of a slot's process: a restart after a pause, or a rest. Pure.

use std::time::Duration;

use actors::{backoff::Backoff, intensity::Intensity};
use tokio::time::Instant;

/// This many deaths within [`DEATHS_WINDOW`] are a crash loop that another start will not end: a person must be told.
const DEATHS_ALARM: usize = 5;
const DEATHS_WINDOW: Duration = Duration::from_secs(60);
/// How long a slot then rests. As long as the window, so that counting starts afresh: the cause may have passed.
const REST: Duration = DEATHS_WINDOW;
/// The first restart comes soon, since work waits; the longest pause is shorter than a rest.
const RESTART_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// The deaths of one slot.
#[derive(Debug)]
pub(crate) struct Slot(Intensity);

/// What follows a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another process, after this pause.
    Start(Duration),
    /// An alarm, and no process for this long.
    Rest(Duration),
}

impl Default for Slot {
    fn default() -> Self {
        Self(Intensity::new(DEATHS_ALARM - 1, DEATHS_WINDOW))
    }
}

impl Slot {
    /// Its process died at `now`; `fraction`, from 0 to 1, is the jitter.
    pub(crate) fn died(&mut self, now: Instant, fraction: f64) -> Next {
        self.0
            .record(now)
            .map_or(Next::Rest(REST), |deaths| Next::Start(RESTART_BACKOFF.delay(deaths, fraction)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_dies_at_once_is_started_later_each_time_and_then_not_for_a_while() {
        let (mut slot, mut now) = (Slot::default(), Instant::now());
        let mut pauses = Vec::new();
        let rest = loop {
            match slot.died(now, 1.0) {
                Next::Start(pause) => pauses.push(pause),
                Next::Rest(rest) => break rest,
            }
            now += pauses[pauses.len() - 1];
        };
        assert_eq!(pauses.iter().map(Duration::as_millis).collect::<Vec<_>>(), [100, 200, 400, 800]);
        assert_eq!(slot.died(now + rest, 1.0), Next::Start(Duration::from_millis(100)), "it begins anew");
    }

    #[test]
    fn rare_deaths_are_no_loop() {
        let (mut slot, start) = (Slot::default(), Instant::now());
        for minute in 0..100 {
            let next = slot.died(start + Duration::from_secs(60 * minute), 0.0);
            assert_eq!(next, Next::Start(Duration::from_millis(50)));
        }
    }
}
