//! When what a broker holds in files is on the disk: at fixed times, and not when a message is acknowledged.

use std::time::Duration;

use tokio::time::Instant;

/// The times at which files are written through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sync {
    origin: Instant,
    every: Option<Duration>,
}

impl Sync {
    /// Every so often from `origin` on; each change at once if `every` is none or zero.
    pub(super) fn new(origin: Instant, every: Option<Duration>) -> Self {
        Self { origin, every: every.filter(|every| !every.is_zero()) }
    }

    /// Other times, with the same origin; none where each change is synced at once.
    pub(super) fn every(self, every: Duration) -> Self {
        Self { every: self.every.map(|_| every), ..self }
    }

    /// The number of the last sync at `now`; none where each change is synced at once.
    pub(super) fn number(&self, now: Instant) -> Option<u128> {
        Some(now.duration_since(self.origin).as_nanos() / self.every?.as_nanos())
    }
}
