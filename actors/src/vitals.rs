//! What every worker of the process is at, for a watcher outside the runtime: a worker that spins without yielding cannot
//! be ended from within, since nothing that would end it is ever run.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use crate::progress::Progress;

/// The progress of all workers that live.
#[derive(Debug, Default)]
pub struct Vitals(Mutex<Vec<Weak<Progress>>>);

impl Vitals {
    /// The progress of a new worker; forgotten when the worker drops it.
    pub fn new_worker(&self) -> Arc<Progress> {
        let progress = Arc::new(Progress::default());
        let mut workers = self.0.lock();
        workers.retain(|worker| worker.strong_count() > 0);
        workers.push(Arc::downgrade(&progress));
        progress
    }

    /// How many workers are overdue by more than `grace`: their own clocks should have ended them by then.
    pub fn stuck(&self, grace: Duration) -> usize {
        let stuck =
            |worker: &&Weak<Progress>| worker.upgrade().is_some_and(|worker| worker.is_overdue_by(grace));
        self.0.lock().iter().filter(stuck).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_living_workers_that_are_overdue_are_stuck() {
        let vitals = Vitals::default();
        let (late, dead, _resting) = (vitals.new_worker(), vitals.new_worker(), vitals.new_worker());
        for worker in [&late, &dead] {
            worker.expect_within(Duration::from_secs(1));
        }
        drop(dead);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!((vitals.stuck(Duration::from_secs(3)), vitals.stuck(Duration::from_secs(10))), (1, 0));
    }
}
