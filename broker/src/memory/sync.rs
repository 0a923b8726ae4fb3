//! When a broker's files are on the disk: after each of the fixed sync times, not when a message is acknowledged.

use std::time::Duration;

use tokio::time::Instant;

/// The times at which files are synced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sync {
    origin: Instant,
    every: Option<Duration>,
}

impl Sync {
    /// Every `every` from `origin` on; after each change if `every` is none or zero.
    pub(super) fn new(origin: Instant, every: Option<Duration>) -> Self {
        Self { origin, every: every.filter(|every| !every.is_zero()) }
    }

    /// Other times with the same origin; none if each change is synced at once.
    pub(super) fn every(self, every: Duration) -> Self {
        Self { every: self.every.map(|_| every), ..self }
    }

    /// The number of the last sync at `now`; none if each change is synced at once.
    pub(super) fn number(&self, now: Instant) -> Option<u128> {
        Some(now.duration_since(self.origin).as_nanos() / self.every?.as_nanos())
    }
}
