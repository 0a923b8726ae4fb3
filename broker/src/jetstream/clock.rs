//! The server's time of day, taken from its answers and advanced by a clock that nobody sets.

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Follows the server's clock.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Option<(Timestamp, Instant)>>);

impl Clock {
    /// Notes the time that the server has just said; older servers say none.
    pub(super) fn hear(&self, said: Option<Timestamp>) {
        if let Some(said) = said {
            *self.0.lock() = Some((said, Instant::now()));
        }
    }

    /// The server's time now; this machine's time until the server has said one.
    pub(super) fn now(&self) -> Timestamp {
        let known = *self.0.lock();
        known.map_or_else(Timestamp::now, |(said, at)| said.checked_add(at.elapsed()).unwrap_or(said))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_from_what_the_server_said_whatever_this_machine_believes() {
        let clock = Clock::default();
        assert!((Timestamp::now() - clock.now()).get_seconds().abs() < 60);
        clock.hear(Some(Timestamp::UNIX_EPOCH));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), Timestamp::from_second(5).unwrap());
    }
}
