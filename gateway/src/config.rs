//! What is set about the doors. Durations are in milliseconds and sizes in bytes, as their names say.

use std::time::Duration;

use schemas::Tenant;
use serde::Deserialize;

/// The `[gateway]` section. Every key is required here; the composition root merges the defaults in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen, `address:port`; port 0 takes a free one.
    pub listen: String,
    /// Whose work everything is, while there are no keys.
    pub tenant: Tenant,
    /// The largest HTTP body.
    pub body_bytes_max: usize,
    /// The largest WebSocket message.
    pub frame_bytes_max: usize,
    /// How long a client may take to send the head of a request; also how long a connection may stay idle.
    pub header_read_timeout_ms: u64,
    /// How long a client may take to send a body.
    pub body_read_timeout_ms: u64,
    /// How long a WebSocket client may leave a frame unread before it is closed.
    pub write_timeout_ms: u64,
    /// The most connections at once; more wait in the listener's backlog.
    pub connections_max: usize,
    /// The most requests that doors wait for at once; one more is refused as `overloaded`.
    pub requests_inflight_max: usize,
    /// The most requests that may wait for one pool; one more is refused as `overloaded`.
    pub queue_max: u64,
    /// The most requests that are open on one WebSocket; one more is refused as `overloaded`.
    pub socket_requests_max: usize,
    /// The most frames that wait to be written to one WebSocket.
    pub socket_queue_frames_max: usize,
    /// A WebSocket from which nothing came for so long, not even a pong, is closed.
    pub socket_idle_timeout_ms: u64,
    /// How often a quiet SSE stream or WebSocket is sent a sign of life.
    pub ping_interval_ms: u64,
    /// The deadline of requests whose door waits for the answer, where the sender names none.
    pub default_deadline_ms: u64,
    /// How much longer than the deadline a waiting door waits for the engine to say so itself.
    pub deadline_grace_ms: u64,
    /// How long a client that resumes a request waits for a sign of it, where the broker has lost its events.
    pub resume_wait_ms: u64,
    /// How long a drain waits for what is under way.
    pub drain_timeout_ms: u64,
    /// Web origins whose pages may open a WebSocket, besides the server's own; `*` is every one.
    pub origins_allowed: Vec<String>,
}

impl Config {
    /// Checks what types do not say; the error names the key and the mend.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("body_bytes_max", self.body_bytes_max as u64),
            ("frame_bytes_max", self.frame_bytes_max as u64),
            ("header_read_timeout_ms", self.header_read_timeout_ms),
            ("body_read_timeout_ms", self.body_read_timeout_ms),
            ("write_timeout_ms", self.write_timeout_ms),
            ("connections_max", self.connections_max as u64),
            ("requests_inflight_max", self.requests_inflight_max as u64),
            ("queue_max", self.queue_max),
            ("socket_requests_max", self.socket_requests_max as u64),
            ("socket_queue_frames_max", self.socket_queue_frames_max as u64),
            ("ping_interval_ms", self.ping_interval_ms),
            ("default_deadline_ms", self.default_deadline_ms),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("gateway.{key}: must be at least 1"));
        }
        if self.socket_idle_timeout_ms <= self.ping_interval_ms {
            let why = "must be longer than gateway.ping_interval_ms, or every quiet client is closed";
            return Err(format!("gateway.socket_idle_timeout_ms: {why}"));
        }
        if self.default_deadline_ms > schemas::request::DEADLINE_MS_MAX {
            let most = schemas::request::DEADLINE_MS_MAX;
            return Err(format!("gateway.default_deadline_ms: must be at most {most}"));
        }
        Ok(())
    }

    pub(crate) const fn resume_wait(&self) -> Duration {
        Duration::from_millis(self.resume_wait_ms)
    }

    pub(crate) const fn ping_interval(&self) -> Duration {
        Duration::from_millis(self.ping_interval_ms)
    }
}
