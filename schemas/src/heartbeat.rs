//! Signals of the engine: the state of each worker, and when a pool wants publishers to wait.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The state of a worker, on `dynode.hb.<node>.<worker>`, every few seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {
    /// The version of the contract; 1.
    pub v: u8,
    /// The node: one process.
    pub node: String,
    /// The worker: one pool of that process.
    pub worker: String,
    /// The process id.
    pub pid: u32,
    /// Whether the broker is reachable.
    pub connected: bool,
    /// When the next heartbeat is due, in milliseconds: a worker that misses several is gone.
    pub every_ms: u64,
    /// The most messages that this worker works on at once.
    pub slots: u32,
    /// Messages of this pool that wait or that other nodes work on, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<u64>,
    /// Messages that this worker works on now.
    pub inflight: u64,
    /// Milliseconds since work here last progressed; 0 if there is none.
    pub last_progress_ms: u64,
    /// The average time of a job on this worker, in milliseconds.
    pub average_job_ms: f64,
    /// The limits on calls to the provider of this pool, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governing: Option<Governing>,
    /// When the worker sent this.
    pub at: Timestamp,
}

/// How much this node calls a provider, and what holds further calls back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Governing {
    /// The most calls at once: the configured number, or less if the provider has shown that it bears less.
    pub limit: u32,
    /// Calls under way.
    pub inflight: u32,
    /// Calls that wait for their turn.
    pub waiting: u32,
    /// The share of calls that a breaker rejects, for the model and key where it is greatest; from 0 to 1.
    pub rejecting: f64,
    /// How many keys the provider has.
    pub keys: u32,
    /// The keys that are currently not used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<AsideKey>,
}

/// A key that is currently not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AsideKey {
    /// Which key, from 1, in the order of the configuration.
    pub key: u32,
    /// Why.
    pub reason: String,
}

impl Heartbeat {
    /// What needs the attention of a person, in words.
    pub fn alarms(&self) -> Vec<String> {
        let aside = self.governing.iter().flat_map(|governing| &governing.aside);
        let alarm = |AsideKey { key, reason }: &AsideKey| {
            format!("key {key} of the provider `{}` is set aside: {reason}", self.worker)
        };
        aside.map(alarm).collect()
    }
}

/// A pool asks publishers to wait, or lets them continue; on `dynode.sig.<pool>` and to every WebSocket client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backpressure {
    /// The pool.
    pub pool: String,
    /// Whether to wait or to continue.
    pub state: Flow,
    /// When to try again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// How long the queue is expected to take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_wait_ms: Option<u64>,
}

/// Whether to wait or to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// Send nothing new until the pool says `resume`.
    Pause,
    /// Continue.
    Resume,
}
