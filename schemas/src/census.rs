//! What heartbeats tell of the pools: who lives, how much waits, how long that takes. Pure: time is passed in, as
//! milliseconds of a clock that only goes forward.
//!
//! Between two heartbeats the queue is reckoned on: what this process itself has sent comes in, what the workers do at
//! their average pace goes out. So a flood is seen within one beat, and a fast pool is not taken for a slow one.
//!
//! Before the first job of a pool has ended nothing is measured: what is heard then are the ages of running jobs, which
//! are less than these jobs will take. Until then a job is assumed to take a time that is given, or its age, whichever
//! is longer.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Backpressure, Flow, Heartbeat};

/// The pool that every request passes before the one that does its work.
pub const ENTRANCE: &str = "classifier";
/// A node that leaves out so many beats is gone: one may be lost, and one late.
const SILENT_BEATS_MAX: u64 = 3;

/// The living nodes of every pool.
#[derive(Debug, Default)]
pub struct Census {
    pools: BTreeMap<String, Pool>,
    /// What a job is assumed to take where none has ended.
    assumed_job_ms: f64,
}

/// Whether a pool takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PoolState {
    /// A slot is free.
    Available,
    /// All slots are taken; work waits, or would.
    Busy,
    /// The pool asks publishers to wait.
    Paused,
    /// No node of it is heard.
    Down,
}

/// How a pool is, over all its nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// The nodes that are heard.
    pub nodes: usize,
    /// The most messages that they work on at once.
    pub slots: u64,
    /// The messages that they worked on when they were last heard.
    pub inflight: u64,
    /// The messages that wait now, as far as can be reckoned.
    pub queue: u64,
    /// The average time of a job: measured, or assumed where none has ended; 0 where nothing is known or assumed.
    pub average_job_ms: f64,
    /// Publishers are asked to wait.
    pub paused: bool,
}

/// One pool.
#[derive(Debug, Default)]
struct Pool {
    nodes: BTreeMap<String, Sign>,
    /// What waited or was worked on, anywhere, when a node last said so; nodes share one queue, so the freshest word counts.
    held: u64,
    held_at_ms: u64,
    /// What this process has sent since then.
    sent: u64,
    paused: bool,
}

/// The last sign of life of a node.
#[derive(Debug)]
struct Sign {
    heard_at_ms: u64,
    beat: Heartbeat,
    /// Whether its average has been seen to come from jobs that ended.
    measured: bool,
}

impl Census {
    /// Assumes that a job takes `assumed_job_ms` where none has ended; 0, as in the default, assumes nothing.
    pub fn assuming(assumed_job_ms: u64) -> Self {
        Self { assumed_job_ms: assumed_job_ms as f64, ..Self::default() }
    }

    /// A heartbeat came.
    pub fn hear(&mut self, beat: Heartbeat, now_ms: u64) {
        for pool in self.pools.values_mut() {
            pool.nodes.retain(|_, sign| sign.is_alive(now_ms));
        }
        let pool = self.pools.entry(beat.worker.clone()).or_default();
        if let Some(queue) = beat.queue {
            // What a node does not work on itself may wait, or be in the hands of another.
            let held = queue.saturating_add(beat.inflight);
            (pool.held, pool.held_at_ms, pool.sent) = (held, now_ms, 0);
        }
        let sign = Sign::after(pool.nodes.get(&beat.node), beat, now_ms);
        pool.nodes.insert(sign.beat.node.clone(), sign);
        self.pools.retain(|_, pool| !pool.nodes.is_empty());
    }

    /// A pool asked publishers to wait, or to go on.
    pub fn hear_signal(&mut self, signal: &Backpressure) {
        if let Some(pool) = self.pools.get_mut(&signal.pool) {
            pool.paused = signal.state == Flow::Pause;
        }
    }

    /// This process sends a request that `pool` will do.
    pub fn count_sent(&mut self, pool: &str) {
        for name in [ENTRANCE, pool] {
            if let Some(pool) = self.pools.get_mut(name) {
                pool.sent += 1;
            }
        }
    }

    /// How `pool` is; `None` where no node of it is heard.
    pub fn load(&self, pool: &str, now_ms: u64) -> Option<Load> {
        // Classifying is quick, and known to be: nothing need be assumed of the entrance.
        let assumed_job_ms = if pool == ENTRANCE { 0.0 } else { self.assumed_job_ms };
        self.pools.get(pool)?.load(now_ms, assumed_job_ms)
    }

    /// How long a request that comes now waits before `pool` works on it; `None` where no node of it is heard.
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

    /// The node that speaks for `pool`: all agree on it without asking each other.
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
        // While all slots are taken the average may be no more than the age of what runs. Ages only grow, and are told
        // of a full node only: what is told of another, or falls, comes from jobs that have ended.
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

/// The average over nodes, by what each gets done: a slow node does fewer jobs.
fn average_job_ms<'a>(beats: impl Iterator<Item = &'a Heartbeat>) -> f64 {
    let (mut slots, mut jobs_per_ms) = (0.0, 0.0);
    for beat in beats.filter(|beat| beat.average_job_ms > 0.0) {
        slots += f64::from(beat.slots);
        jobs_per_ms += f64::from(beat.slots) / beat.average_job_ms;
    }
    if jobs_per_ms > 0.0 { slots / jobs_per_ms } else { 0.0 }
}

impl Load {
    /// How many messages more could be worked on at once, while none waits.
    pub const fn free_slots(&self) -> u64 {
        if self.queue == 0 { self.slots.saturating_sub(self.inflight) } else { 0 }
    }

    /// How long a message that comes now waits: none where a slot is free, else until those before it and one more
    /// have been done.
    pub fn wait_ms(&self) -> u64 {
        if self.queue == 0 && self.inflight < self.slots {
            return 0;
        }
        ((self.queue as f64 + 1.0) * self.average_job_ms / self.slots as f64).ceil() as u64
    }
}

#[cfg(test)]
mod tests;
