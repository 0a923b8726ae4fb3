//! Signals of the engine: how a worker is, and when a pool wants publishers to wait.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a worker is, on `dynode.hb.<node>.<worker>`, every few seconds.
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
    /// When the next one is due, in milliseconds: who leaves out some is gone.
    pub every_ms: u64,
    /// The most messages that are worked on here at once.
    pub slots: u32,
    /// Messages of this pool that wait, or are worked on by other nodes, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<u64>,
    /// Messages being worked on here.
    pub inflight: u64,
    /// Milliseconds since work here last moved; 0 where there is none.
    pub last_progress_ms: u64,
    /// The average time of a job here, in milliseconds.
    pub average_job_ms: f64,
    /// Who may call the provider of this pool, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub governing: Option<Governing>,
    /// When this was said.
    pub at: Timestamp,
}

/// How much a provider is called from here, and what holds more calls back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Governing {
    /// The most calls at once: the configured number, or less where the provider has shown that it bears less.
    pub limit: u32,
    /// Calls under way.
    pub inflight: u32,
    /// Calls that wait for their turn.
    pub waiting: u32,
    /// The share of calls that a breaker rejects, of the model and the key of which it is the greatest; from 0 to 1.
    pub rejecting: f64,
    /// How many keys the provider has.
    pub keys: u32,
    /// Those of them that are not used just now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<AsideKey>,
}

/// A key that is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AsideKey {
    /// Which, from 1, in the order of the configuration.
    pub key: u32,
    /// Why.
    pub reason: String,
}

impl Heartbeat {
    /// What a person must look at, in words.
    pub fn alarms(&self) -> Vec<String> {
        let aside = self.governing.iter().flat_map(|governing| &governing.aside);
        let alarm = |AsideKey { key, reason }: &AsideKey| {
            format!("key {key} of the provider `{}` is set aside: {reason}", self.worker)
        };
        aside.map(alarm).collect()
    }
}

/// A pool asks publishers to wait, or says that they may go on; on `dynode.sig.<pool>` and to every WebSocket client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backpressure {
    /// The pool.
    pub pool: String,
    /// Wait or go on.
    pub state: Flow,
    /// When to return, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// How long the queue is expected to take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_wait_ms: Option<u64>,
}

/// Wait or go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// Send nothing new until it is lifted.
    Pause,
    /// Go on.
    Resume,
}
