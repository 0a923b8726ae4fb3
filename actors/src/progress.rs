//! Tracks when the next sign of life is due: one atomic, which the work shares with its watchers.
//!
//! Liveness is not progress. The work says how long it may now be silent (a connection, a first token, the next token);
//! work that is silent for longer has stalled, however alive its task is, and loses its lease.

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
    began_ms: AtomicU64,
    moved_ms: AtomicU64,
    due_ms: AtomicU64,
}

/// The state of a worker's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Since it began.
    pub age: Duration,
    /// Since it last moved.
    pub silence: Duration,
}

impl Default for Progress {
    fn default() -> Self {
        let (began_ms, moved_ms) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { origin: Instant::now(), began_ms, moved_ms, due_ms: AtomicU64::new(RESTING) }
    }
}

impl Progress {
    /// There is no work: nothing is due.
    pub fn rest(&self) {
        self.due_ms.store(RESTING, Ordering::Relaxed);
    }

    /// New work begins; its first sign of life is due within `next`.
    pub fn begin(&self, next: Duration) {
        self.began_ms.store(milliseconds(self.origin.elapsed()), Ordering::Relaxed);
        self.expect_within(next);
    }

    /// The work moved; its next sign of life is due within `next`.
    pub fn expect_within(&self, next: Duration) {
        let now = self.origin.elapsed();
        self.moved_ms.store(milliseconds(now), Ordering::Relaxed);
        self.due_ms.store(milliseconds(now.saturating_add(next)), Ordering::Relaxed);
    }

    /// The state of the work; `None` if there is none.
    pub fn running(&self) -> Option<Running> {
        let now = self.origin.elapsed();
        let since =
            |then: &AtomicU64| now.saturating_sub(Duration::from_millis(then.load(Ordering::Relaxed)));
        let rests = self.due_ms.load(Ordering::Relaxed) == RESTING;
        (!rests).then(|| Running { age: since(&self.began_ms), silence: since(&self.moved_ms) })
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

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(RESTING)
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

    #[tokio::test(start_paused = true)]
    async fn work_has_an_age_and_a_silence_and_rest_has_neither() {
        let progress = Progress::default();
        assert_eq!(progress.running(), None);
        let second = Duration::from_secs(1);
        tokio::time::advance(second).await;
        progress.begin(second * 60);
        tokio::time::advance(second * 2).await;
        progress.expect_within(second * 60);
        tokio::time::advance(second * 3).await;
        assert_eq!(progress.running(), Some(Running { age: second * 5, silence: second * 3 }));
        progress.rest();
        assert_eq!(progress.running(), None);
    }
}
