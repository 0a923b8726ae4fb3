//! When the next sign of life is due: one atomic, shared between the work and whoever watches it.
//!
//! Liveness is not progress. The work says how long it may now be silent (a connection, a first token, the next token);
//! who is silent for longer has stalled, however alive its task is, and loses its lease.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Shared by a piece of work and its watcher.
#[derive(Debug)]
pub struct Progress {
    origin: Instant,
    due_ms: AtomicU64,
}

impl Progress {
    /// The first sign of life is due within `first`.
    pub fn new(first: Duration) -> Self {
        let progress = Self { origin: Instant::now(), due_ms: AtomicU64::new(0) };
        progress.expect_within(first);
        progress
    }

    /// The work moved; its next sign of life is due within `next`.
    pub fn expect_within(&self, next: Duration) {
        let due = self.origin.elapsed().saturating_add(next).as_millis();
        self.due_ms.store(u64::try_from(due).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether a sign of life is overdue.
    pub fn is_overdue(&self) -> bool {
        self.origin.elapsed().as_millis() > u128::from(self.due_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_beyond_what_was_announced_is_overdue() {
        let progress = Progress::new(Duration::from_secs(1));
        tokio::time::advance(Duration::from_millis(900)).await;
        assert!(!progress.is_overdue());
        progress.expect_within(Duration::from_secs(5));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(!progress.is_overdue());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(progress.is_overdue());
    }
}
