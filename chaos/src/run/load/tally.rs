//! Counts events of a run, for the live display and for faults that are clients themselves.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of one run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: Count,
    pub(crate) accepted: Count,
    pub(crate) refused: Count,
    pub(crate) ended: Count,
    /// Readers that went away for ever, or paused between two frames.
    pub(crate) bad_readers: Count,
}

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
