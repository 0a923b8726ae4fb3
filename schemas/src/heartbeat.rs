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
    /// When this was said.
    pub at: Timestamp,
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
