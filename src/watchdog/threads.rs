//! Detects a runtime thread kept by one task that does not yield. The other threads and the tick go on, but whatever
//! waits in that thread's own queue, such as the broker connection, waits for ever. Pure: sights go in, a count comes
//! out.

use std::time::Duration;

use tokio::runtime::RuntimeMetrics;

/// What the runtime reports of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    /// How often it went to sleep and woke: odd while it sleeps.
    pub(super) parks: u64,
    /// How long it has run tasks; updated after a few dozen of them, and before it sleeps.
    pub(super) busy: Duration,
}

/// Each thread as last seen, and for how many looks it has been awake without a change.
#[derive(Debug, Default)]
pub(super) struct Threads(Vec<(Option<Sight>, u64)>);

impl Sight {
    /// Every thread of the runtime, in order.
    pub(super) fn all(metrics: &RuntimeMetrics) -> Vec<Self> {
        let sight = |thread| Self {
            parks: metrics.worker_park_unpark_count(thread),
            busy: metrics.worker_total_busy_duration(thread),
        };
        (0..metrics.num_workers()).map(sight).collect()
    }

    const fn sleeps(self) -> bool {
        self.parks % 2 == 1
    }
}

impl Threads {
    /// Records a look; returns for how many looks in a row a thread has been at one task, the most of all threads.
    pub(super) fn look(&mut self, sights: &[Sight]) -> u64 {
        self.0.resize(sights.len(), (None, 0));
        for ((last, looks), sight) in self.0.iter_mut().zip(sights) {
            *looks = if *last == Some(*sight) && !sight.sleeps() { *looks + 1 } else { 0 };
            *last = Some(*sight);
        }
        self.0.iter().map(|(_, looks)| *looks).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLEEPS: Sight = Sight { parks: 1, busy: Duration::ZERO };

    /// The count after `looks` looks, of which `see` tells one thread; another sleeps all the time.
    fn count(looks: u64, see: impl Fn(u64) -> Sight) -> u64 {
        let mut threads = Threads::default();
        (0..=looks).map(|number| threads.look(&[SLEEPS, see(number)])).last().unwrap_or_default()
    }

    #[test]
    fn one_that_is_awake_and_ends_no_task_is_kept_and_all_others_are_not() {
        let busy = Duration::from_secs;
        assert_eq!(count(10, |_| Sight { parks: 2, busy: busy(1) }), 10, "kept by one task");
        assert_eq!(count(10, |_| SLEEPS), 0, "nothing to do");
        assert_eq!(count(10, |number| Sight { parks: 2, busy: busy(number) }), 0, "much to do");
        assert_eq!(count(10, |number| Sight { parks: 2 * number, busy: busy(1) }), 0, "little to do");
        assert_eq!(
            count(10, |number| Sight { parks: 2, busy: busy(number / 5) }),
            0,
            "a long task that ends"
        );
        assert_eq!(count(9, |number| Sight { parks: 2, busy: busy(number / 5) }), 4, "and before its end");
    }

    #[test]
    fn a_runtime_tells_a_thread_that_spins_from_one_that_sleeps() {
        use std::sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let (spins, end) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (seen, asked) = (Arc::clone(&spins), Arc::clone(&end));
        let spinning = runtime.spawn(async move {
            seen.store(true, Ordering::Relaxed);
            while !asked.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        while !spins.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let (mut threads, metrics) = (Threads::default(), runtime.metrics());
        // The other thread may look for work once more before it sleeps; the one that spins is seen all the same.
        let kept = (0..10).map(|_| threads.look(&Sight::all(&metrics))).last();
        assert_eq!(kept, Some(9));
        end.store(true, Ordering::Relaxed);
        runtime.block_on(spinning).unwrap();
        while !Sight::all(&metrics).iter().all(|sight| sight.sleeps()) {
            std::thread::yield_now();
        }
        assert_eq!(threads.look(&Sight::all(&metrics)), 0);
    }
}
