//! The state of the pools by their heartbeats: which nodes live, how much waits, how long that takes. Pure: callers
//! pass in the time, as milliseconds of a monotonic clock.
//!
//! Between two heartbeats the queue is extrapolated: it grows by what this process itself has sent, and shrinks by what
//! the workers do at their average pace. So a flood shows within one beat, and a fast pool is not taken for a slow one.
//!
//! Before the first job of a pool has ended, nothing is measured: its heartbeats then report the ages of running jobs,
//! which are less than these jobs will take. Until then a job is assumed to take a given time, or its age, whichever is
//! longer.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Backpressure, Flow, Heartbeat};

/// The pool that every request passes before the pool that does its work.
pub const ENTRANCE: &str = "classifier";
/// A node that misses this many beats is gone: one may be lost, and one late.
const SILENT_BEATS_MAX: u64 = 3;

/// The live nodes of every pool.
#[derive(Debug, Default)]
pub struct Census {
    pools: BTreeMap<String, Pool>,
    /// What a job is assumed to take if none has ended.
    assumed_job_ms: f64,
}

/// Whether a pool takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PoolState {
    /// A slot is free.
    Available,
    /// All slots are taken; work waits, or would wait.
    Busy,
    /// The pool asks publishers to wait.
    Paused,
    /// None of its nodes is heard.
    Down,
}

/// The state of a pool, over all its nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// The nodes that are heard.
    pub nodes: usize,
    /// The most messages that they work on at once.
    pub slots: u64,
    /// The messages that they worked on when last heard.
    pub inflight: u64,
    /// The messages that wait now, as far as can be estimated.
    pub queue: u64,
    /// The average time of a job: measured, or assumed if none has ended; 0 if nothing is known or assumed.
    pub average_job_ms: f64,
    /// Whether publishers are asked to wait.
    pub paused: bool,
}

/// One pool.
#[derive(Debug, Default)]
struct Pool {
    nodes: BTreeMap<String, Sign>,
    /// What waited or was worked on, anywhere, by the latest report: nodes share one queue, so the freshest counts.
    held: u64,
    held_at_ms: u64,
    /// What this process has sent since then.
    sent: u64,
    paused: bool,
}

/// The last heartbeat of a node.
#[derive(Debug)]
struct Sign {
    heard_at_ms: u64,
    beat: Heartbeat,
    /// Whether its average is known to come from jobs that ended.
    measured: bool,
}

impl Census {
    /// Assumes that a job takes `assumed_job_ms` if none has ended; 0, as in the default, assumes nothing.
    pub fn assuming(assumed_job_ms: u64) -> Self {
        Self { assumed_job_ms: assumed_job_ms as f64, ..Self::default() }
    }

    /// Takes in a heartbeat.
    pub fn hear(&mut self, beat: Heartbeat, now_ms: u64) {
        for pool in self.pools.values_mut() {
            pool.nodes.retain(|_, sign| sign.is_alive(now_ms));
        }
        let pool = self.pools.entry(beat.worker.clone()).or_default();
        if let Some(queue) = beat.queue {
            // What a node does not work on itself may wait, or another node may work on it.
            let held = queue.saturating_add(beat.inflight);
            (pool.held, pool.held_at_ms, pool.sent) = (held, now_ms, 0);
        }
        let sign = Sign::after(pool.nodes.get(&beat.node), beat, now_ms);
        pool.nodes.insert(sign.beat.node.clone(), sign);
        self.pools.retain(|_, pool| !pool.nodes.is_empty());
    }

    /// Takes in a pool's signal that publishers should wait or continue.
    pub fn hear_signal(&mut self, signal: &Backpressure) {
        if let Some(pool) = self.pools.get_mut(&signal.pool) {
            pool.paused = signal.state == Flow::Pause;
        }
    }

    /// Counts a request that this process sends and that `pool` will do.
    pub fn count_sent(&mut self, pool: &str) {
        for name in [ENTRANCE, pool] {
            if let Some(pool) = self.pools.get_mut(name) {
                pool.sent += 1;
            }
        }
    }

    /// The load of `pool`; `None` if none of its nodes is heard.
    pub fn load(&self, pool: &str, now_ms: u64) -> Option<Load> {
        // Classifying is known to be quick: the entrance needs no assumption.
        let assumed_job_ms = if pool == ENTRANCE { 0.0 } else { self.assumed_job_ms };
        self.pools.get(pool)?.load(now_ms, assumed_job_ms)
    }

    /// How long a request that comes now waits before `pool` works on it; `None` if none of its nodes is heard.
    pub fn estimated_wait_ms(&self, pool: &str, now_ms: u64) -> Option<u64> {
        let own = self.load(pool, now_ms)?.wait_ms();
        let entrance =
            self.load(ENTRANCE, now_ms).filter(|_| pool != ENTRANCE).map_or(0, |load| load.wait_ms());
        Some(entrance.saturating_add(own))
    }

    /// Whether `pool` takes work.
    pub fn state(&self, pool: &str, now_ms: u64) -> PoolState {
        match self.load(pool, now_ms) {
            None => PoolState::Down,
            Some(load) if load.paused => PoolState::Paused,
            Some(load) if load.queue > 0 || load.inflight >= load.slots => PoolState::Busy,
            Some(_) => PoolState::Available,
        }
    }

    /// The node that speaks for `pool`: all nodes agree on it without asking each other.
    pub fn speaker(&self, pool: &str, now_ms: u64) -> Option<&str> {
        let mut nodes = self.pools.get(pool)?.nodes.iter();
        nodes.find(|(_, sign)| sign.is_alive(now_ms)).map(|(node, _)| node.as_str())
    }

    /// The pools of which a node was heard.
    pub fn pools(&self) -> impl Iterator<Item = &str> {
        self.pools.keys().map(String::as_str)
    }
}

impl Sign {
    /// The sign that `beat` is, after the last one of its node.
    fn after(last: Option<&Self>, beat: Heartbeat, now_ms: u64) -> Self {
        // While all slots are taken, the average may be only the age of the running jobs. Ages only grow, and only a
        // full node reports them: an average from another node, or a falling one, comes from jobs that have ended.
        let of_ended = beat.average_job_ms > 0.0 && beat.inflight < u64::from(beat.slots);
        let fell = last.is_some_and(|last| beat.average_job_ms < last.beat.average_job_ms);
        let measured = of_ended || fell || last.is_some_and(|last| last.measured);
        Self { heard_at_ms: now_ms, beat, measured }
    }

    fn is_alive(&self, now_ms: u64) -> bool {
        let silence_ms = now_ms.saturating_sub(self.heard_at_ms);
        self.beat.connected && silence_ms < self.beat.every_ms.saturating_mul(SILENT_BEATS_MAX)
    }
}

impl Pool {
    fn load(&self, now_ms: u64, assumed_job_ms: f64) -> Option<Load> {
        let signs = || self.nodes.values().filter(|sign| sign.is_alive(now_ms));
        let alive = || signs().map(|sign| &sign.beat);
        let slots: u64 = alive().map(|beat| u64::from(beat.slots)).sum();
        if slots == 0 {
            return None;
        }
        let inflight: u64 = alive().map(|beat| beat.inflight).sum();
        let mut average_job_ms = average_job_ms(alive());
        if !signs().any(|sign| sign.measured) {
            average_job_ms = average_job_ms.max(assumed_job_ms);
        }
        let elapsed_ms = now_ms.saturating_sub(self.held_at_ms);
        let done = match average_job_ms > 0.0 {
            true => elapsed_ms as f64 * slots as f64 / average_job_ms,
            false => 0.0,
        };
        let unserved = self.held.saturating_add(self.sent).saturating_sub(slots);
        let queue = (unserved as f64 - done).max(0.0).ceil() as u64;
        Some(Load { nodes: alive().count(), slots, inflight, queue, average_job_ms, paused: self.paused })
    }
}

/// The average over nodes, weighted by what each gets done: a slow node does fewer jobs.
fn average_job_ms<'a>(beats: impl Iterator<Item = &'a Heartbeat>) -> f64 {
    let (mut slots, mut jobs_per_ms) = (0.0, 0.0);
    for beat in beats.filter(|beat| beat.average_job_ms > 0.0) {
        slots += f64::from(beat.slots);
        jobs_per_ms += f64::from(beat.slots) / beat.average_job_ms;
    }
    if jobs_per_ms > 0.0 { slots / jobs_per_ms } else { 0.0 }
}

impl Load {
    /// How many more messages could be worked on at once, while none waits.
    pub const fn free_slots(&self) -> u64 {
        if self.queue == 0 { self.slots.saturating_sub(self.inflight) } else { 0 }
    }

    /// How long a message that comes now waits: not at all if a slot is free, else until those before it and one more
    /// are done.
    pub fn wait_ms(&self) -> u64 {
        if self.queue == 0 && self.inflight < self.slots {
            return 0;
        }
        ((self.queue as f64 + 1.0) * self.average_job_ms / self.slots as f64).ceil() as u64
    }
}

#[cfg(test)]
mod tests;
