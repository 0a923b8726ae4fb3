//! When the next sign of life is due: one atomic, shared between the work and whoever watches it.
//!
//! Liveness is not progress. The work says how long it may now be silent (a connection, a first token, the next token);
//! who is silent for longer has stalled, however alive its task is, and loses its lease.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Nothing is due: there is no work.
const RESTING: u64 = u64::MAX;

/// Shared by a worker and its watchers.
#[derive(Debug)]
pub struct Progress {
    origin: Instant,
    due_ms: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self { origin: Instant::now(), due_ms: AtomicU64::new(RESTING) }
    }
}

impl Progress {
    /// There is no work: nothing is due.
    pub fn rest(&self) {
        self.due_ms.store(RESTING, Ordering::Relaxed);
    }

    /// The work moved; its next sign of life is due within `next`.
    pub fn expect_within(&self, next: Duration) {
        let due = self.origin.elapsed().saturating_add(next).as_millis();
        self.due_ms.store(u64::try_from(due).unwrap_or(RESTING), Ordering::Relaxed);
    }

    /// Whether a sign of life is overdue.
    pub fn is_overdue(&self) -> bool {
        self.is_overdue_by(Duration::ZERO)
    }

    /// Whether a sign of life is overdue by more than `grace`.
    pub fn is_overdue_by(&self, grace: Duration) -> bool {
        let due = u128::from(self.due_ms.load(Ordering::Relaxed)).saturating_add(grace.as_millis());
        self.origin.elapsed().as_millis() > due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_beyond_what_was_announced_is_overdue() {
        let progress = Progress::default();
        tokio::time::advance(Duration::from_secs(900)).await;
        assert!(!progress.is_overdue(), "nothing is due at rest");
        progress.expect_within(Duration::from_secs(1));
        tokio::time::advance(Duration::from_millis(900)).await;
        assert!(!progress.is_overdue());
        progress.expect_within(Duration::from_secs(5));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(!progress.is_overdue());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(progress.is_overdue() && !progress.is_overdue_by(Duration::from_secs(2)));
    }
}
