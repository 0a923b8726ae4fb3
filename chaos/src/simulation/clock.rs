//! The wall clock of one node: it moves with the run's clock, and jumps when it is told to.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use broker::{Clock, Random, Seams};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::time::Instant;

/// When every run begins: any time will do, if it is always the same.
const START_SECOND: i64 = 1_767_225_600;

/// A wall clock.
#[derive(Debug)]
pub(super) struct NodeClock {
    began: Instant,
    ahead_ms: AtomicI64,
}

impl NodeClock {
    /// A clock that is right, in a run that began at `began`.
    pub(super) fn new(began: Instant) -> Arc<Self> {
        Arc::new(Self { began, ahead_ms: AtomicI64::new(0) })
    }

    /// Jumps.
    pub(super) fn jump(&self, by_ms: i64) {
        self.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        let right =
            Timestamp::from_second(START_SECOND).unwrap_or(Timestamp::UNIX_EPOCH) + self.began.elapsed();
        right + SignedDuration::from_millis(self.ahead_ms.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
struct Seeded(Mutex<StdRng>);

impl Random for Seeded {
    fn next_u64(&self) -> u64 {
        self.0.lock().next_u64()
    }
}

/// The seams of a node with this clock and this seed.
pub(super) fn seams(clock: &Arc<NodeClock>, seed: u64) -> Seams {
    Seams {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        random: Arc::new(Seeded(Mutex::new(StdRng::seed_from_u64(seed)))),
    }
}
