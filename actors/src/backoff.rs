//! How long to wait before the next try: doubling, capped, with jitter. Pure.

use std::time::Duration;

/// A doubling delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Starts at `first` and doubles with each try, up to `longest`, which caps `first` too.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The delay before retry number `failures` (from 1), between half and all of it depending on `fraction` (0 to 1),
    /// so that callers which failed together do not return together.
    pub fn delay(&self, failures: u32, fraction: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        whole.mul_f64(0.5 + 0.5 * fraction.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_doubles_up_to_the_longest() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(450));
        let delays: Vec<_> = (1..=4).map(|n| backoff.delay(n, 1.0).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 450]);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(failures: u32, fraction in -1.0..2.0_f64) {
            let backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(60));
            let delay = backoff.delay(failures, fraction);
            prop_assert!(delay >= Duration::from_millis(5) && delay <= Duration::from_secs(60));
        }
    }
}
