//! Measures this engine's providers, for those who choose among them: how soon they begin, and who is idle.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::RwLock;
use tokio::sync::Semaphore;

use crate::vitals::PoolVitals;

/// How much the newest call weighs in the average: about the last ten count.
const NEWEST_CALL_WEIGHT: f64 = 0.2;

/// A pool, and its slots.
type Watched = (Arc<PoolVitals>, Arc<Semaphore>);

/// The measurements; shared by the stages of one engine.
#[derive(Debug, Default)]
pub struct Measured {
    /// The average time to the first output in milliseconds, by provider and model.
    first_output_ms: RwLock<BTreeMap<(String, String), f64>>,
    pools: RwLock<BTreeMap<String, Watched>>,
}

impl Measured {
    /// A call of `model` brought its first output after `took`.
    pub fn began(&self, provider: &str, model: &str, took: Duration) {
        let newest_ms = took.as_secs_f64() * 1e3;
        let mut times = self.first_output_ms.write();
        times
            .entry((provider.to_owned(), model.to_owned()))
            .and_modify(|average| *average += (newest_ms - *average) * NEWEST_CALL_WEIGHT)
            .or_insert(newest_ms);
    }

    /// A call of `model` had brought nothing after `after`, and was given up: the model is no quicker than that.
    pub fn outran(&self, provider: &str, model: &str, after: Duration) {
        let known_ms = self.first_output_ms(provider, model);
        if known_ms.is_none_or(|average| average < after.as_secs_f64() * 1e3) {
            self.began(provider, model, after);
        }
    }

    /// The average time to the first output, in milliseconds; `None` before the first call.
    pub fn first_output_ms(&self, provider: &str, model: &str) -> Option<f64> {
        self.first_output_ms.read().get(&(provider.to_owned(), model.to_owned())).copied()
    }

    /// Watches `pool`, with these slots, from now on.
    pub(crate) fn watch(&self, pool: &Arc<PoolVitals>, slots: &Arc<Semaphore>) {
        self.pools.write().insert(pool.name().to_owned(), (Arc::clone(pool), Arc::clone(slots)));
    }

    /// How many slots of `provider` are free in this engine: no work in them, and none asked for.
    pub fn free_slots(&self, provider: &str) -> u64 {
        self.pools.read().get(provider).map_or(0, |(_, slots)| slots.available_permits() as u64)
    }

    /// Whether `provider` has a free slot in this engine. Nothing waits for a pool that has one.
    pub fn is_idle(&self, provider: &str) -> bool {
        let pools = self.pools.read();
        pools.get(provider).is_some_and(|(pool, _)| pool.look().inflight < u64::from(pool.slots()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_calls_count_most() {
        let measured = Measured::default();
        assert_eq!(measured.first_output_ms("a", "m"), None);
        measured.began("a", "m", Duration::from_millis(100));
        assert_eq!(measured.first_output_ms("a", "m"), Some(100.0));
        for _ in 0..30 {
            measured.began("a", "m", Duration::from_millis(900));
        }
        assert!(measured.first_output_ms("a", "m").is_some_and(|average| average > 890.0));
        assert_eq!(measured.first_output_ms("a", "other"), None);
    }

    #[test]
    fn a_pool_is_idle_while_it_has_a_free_slot() {
        let (measured, slots) = (Measured::default(), Arc::new(Semaphore::new(1)));
        let pool = Arc::new(PoolVitals::new("local".into(), 1));
        assert!(!measured.is_idle("local"), "nothing is known of it");
        measured.watch(&pool, &slots);
        assert!(measured.is_idle("local"));
        assert_eq!((measured.free_slots("local"), measured.free_slots("other")), (1, 0));
        let worker = pool.new_worker();
        worker.begin(Duration::from_secs(1));
        assert!(!measured.is_idle("local"));
    }
}
