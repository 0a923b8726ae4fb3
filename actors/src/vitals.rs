//! Shows heartbeats and a thread outside the runtime what every worker of the process is doing. Code inside the runtime
//! cannot end a worker that spins without yielding, since that code never runs.
//!
//! Watchers read now and then, workers write with each job: writing takes no lock.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use crate::progress::Progress;

/// How much the newest job weighs in the average: the last few dozen count. The first jobs weigh the same.
const NEWEST_JOB_WEIGHT: f64 = 1.0 / 32.0;

/// The vitals of all pools.
#[derive(Debug)]
pub struct Vitals(Vec<Arc<PoolVitals>>);

impl Vitals {
    /// Watches `pools`.
    pub const fn new(pools: Vec<Arc<PoolVitals>>) -> Self {
        Self(pools)
    }

    /// How many workers are overdue by more than `grace`: their own timeouts should have ended them by then.
    pub fn stuck(&self, grace: Duration) -> usize {
        self.0.iter().map(|pool| pool.stuck(grace)).sum()
    }

    /// What an operator must look at, as of the last heartbeat.
    pub fn alarms(&self) -> Vec<String> {
        self.0.iter().flat_map(|pool| pool.alarms.lock().clone()).collect()
    }
}

/// What the workers of one pool are doing.
#[derive(Debug)]
pub struct PoolVitals {
    name: String,
    slots: u32,
    workers: Mutex<Vec<Weak<Progress>>>,
    jobs: AtomicU64,
    /// The bits of an `f64`.
    average_ms: AtomicU64,
    alarms: Mutex<Vec<String>>,
}

/// One look at a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// The workers that have a job.
    pub inflight: u64,
    /// Milliseconds since the last sign of life of any of them; 0 if none has a job.
    pub last_progress_ms: u64,
    /// The average time of a job, in milliseconds; 0 if unknown.
    pub average_job_ms: f64,
}

impl PoolVitals {
    /// The pool `name`, which has `slots`.
    pub const fn new(name: String, slots: u32) -> Self {
        Self {
            name,
            slots,
            workers: Mutex::new(Vec::new()),
            jobs: AtomicU64::new(0),
            average_ms: AtomicU64::new(0),
            alarms: Mutex::new(Vec::new()),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The most jobs at once.
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// The progress of a new worker; forgotten when the worker drops it.
    pub fn new_worker(&self) -> Arc<Progress> {
        let progress = Arc::new(Progress::default());
        let mut workers = self.workers.lock();
        workers.retain(|worker| worker.strong_count() > 0);
        workers.push(Arc::downgrade(&progress));
        progress
    }

    /// A job has left its slot after `took`, however it ended.
    pub fn job_done(&self, took: Duration) {
        let jobs = self.jobs.fetch_add(1, Ordering::Relaxed);
        let weight = NEWEST_JOB_WEIGHT.max(1.0 / (jobs as f64 + 1.0));
        let newest_ms = took.as_secs_f64() * 1e3;
        let blend = |bits| {
            let average = f64::from_bits(bits);
            Some((average + (newest_ms - average) * weight).to_bits())
        };
        // It cannot fail: `blend` always returns a value.
        let _ = self.average_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, blend);
    }

    /// Replaces what an operator must look at.
    pub fn set_alarms(&self, alarms: Vec<String>) {
        *self.alarms.lock() = alarms;
    }

    /// How it is now.
    pub fn look(&self) -> Look {
        let running: Vec<_> =
            self.workers.lock().iter().filter_map(|worker| worker.upgrade()?.running()).collect();
        let silence = running.iter().map(|job| job.silence).min().unwrap_or_default();
        let mut ages: Vec<_> = running.iter().map(|job| job.age).collect();
        let mut average_job_ms = f64::from_bits(self.average_ms.load(Ordering::Relaxed));
        if !ages.is_empty() && ages.len() >= self.slots as usize {
            // No slot is free, and half of the jobs have already taken longer than this: earlier jobs, however quick,
            // do not tell how soon a slot will be free. The median, since a few that hang must not count.
            let middle = ages.len() / 2;
            let median = *ages.select_nth_unstable(middle).1;
            average_job_ms = average_job_ms.max(median.as_secs_f64() * 1e3);
        }
        let last_progress_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        Look { inflight: running.len() as u64, last_progress_ms, average_job_ms }
    }

    fn stuck(&self, grace: Duration) -> usize {
        let stuck =
            |worker: &&Weak<Progress>| worker.upgrade().is_some_and(|worker| worker.is_overdue_by(grace));
        self.workers.lock().iter().filter(stuck).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn only_living_workers_that_are_overdue_are_stuck() {
        let pools = ["a", "b"].map(|name| Arc::new(PoolVitals::new(name.into(), 2)));
        let (late, dead, _resting) = (pools[0].new_worker(), pools[1].new_worker(), pools[1].new_worker());
        let also_late = pools[1].new_worker();
        for worker in [&late, &dead, &also_late] {
            worker.begin(SECOND);
        }
        drop(dead);
        let vitals = Vitals::new(pools.to_vec());
        tokio::time::advance(SECOND * 5).await;
        assert_eq!((vitals.stuck(SECOND * 3), vitals.stuck(SECOND * 10)), (2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_tells_what_runs_and_when_it_last_moved() {
        let pool = PoolVitals::new("p".into(), 3);
        let (one, two, _resting) = (pool.new_worker(), pool.new_worker(), pool.new_worker());
        one.begin(SECOND * 60);
        two.begin(SECOND * 60);
        tokio::time::advance(SECOND * 5).await;
        two.expect_within(SECOND * 60);
        tokio::time::advance(SECOND).await;
        assert_eq!(pool.look(), Look { inflight: 2, last_progress_ms: 1_000, average_job_ms: 0.0 });
        one.rest();
        two.rest();
        assert_eq!(pool.look(), Look { inflight: 0, last_progress_ms: 0, average_job_ms: 0.0 });
    }

    #[test]
    fn the_average_is_that_of_the_first_jobs_and_then_follows_the_last_ones() {
        let pool = PoolVitals::new("p".into(), 1);
        pool.job_done(SECOND);
        pool.job_done(SECOND * 3);
        assert!((pool.look().average_job_ms - 2_000.0).abs() < 1e-6);
        (0..300).for_each(|_| pool.job_done(SECOND * 9));
        assert!((pool.look().average_job_ms - 9_000.0).abs() < 10.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_pool_of_slow_jobs_is_slow_before_the_first_of_them_ends() {
        let pool = PoolVitals::new("p".into(), 3);
        pool.job_done(Duration::from_millis(1));
        let mut workers = vec![pool.new_worker(), pool.new_worker()];
        workers.iter().for_each(|worker| worker.begin(SECOND * 600));
        tokio::time::advance(SECOND * 20).await;
        assert!(pool.look().average_job_ms < 2.0, "a slot is free: nobody waits for those two");
        workers.push(pool.new_worker());
        workers[2].begin(SECOND * 600);
        tokio::time::advance(SECOND * 20).await;
        assert!((pool.look().average_job_ms - 40_000.0).abs() < 1e-6);
    }
}
