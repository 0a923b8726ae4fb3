//! When requests of an open loop are due: at a steady rate, whatever becomes of earlier ones. Pure: a late sender
//! counts the delay as part of the request.

use std::time::Duration;

use tokio::time::Instant;

/// A steady rate over a period.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    from: Instant,
    until: Instant,
    /// Requests per second.
    rate: f64,
}

impl Schedule {
    /// `rate` requests per second from `from` until just before `until`.
    pub(crate) const fn new(from: Instant, until: Instant, rate: f64) -> Self {
        Self { from, until, rate }
    }

    /// When request `number`, counted from 0, is due; `None` after the last. Each is timed from the start, so that
    /// errors do not add up.
    pub(crate) fn due(&self, number: u32) -> Option<Instant> {
        let due = self.from + Duration::from_secs_f64(f64::from(number) / self.rate);
        (due < self.until).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_steady_and_has_an_end() {
        let from = Instant::now();
        let schedule = Schedule::new(from, from + Duration::from_secs(2), 1_000.0);
        let at = |number| schedule.due(number).map(|due| (due - from).as_micros());
        assert_eq!([at(0), at(1), at(1_999), at(2_000)], [Some(0), Some(1_000), Some(1_999_000), None]);
    }

    #[test]
    fn a_rate_that_divides_nothing_does_not_drift() {
        let from = Instant::now();
        let schedule = Schedule::new(from, from + Duration::from_secs(3_600), 3.0);
        assert_eq!(schedule.due(3 * 3_599).map(|due| due - from), Some(Duration::from_secs(3_599)));
        assert_eq!((0..).map_while(|number| schedule.due(number)).count(), 3 * 3_600);
    }
}
