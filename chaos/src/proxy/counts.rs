//! What happened on a link: plain numbers, counted when something was really done, never when it was only
//! asked for.

use serde::Serialize;

use super::side::Sides;

/// Everything counted since the proxy began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Connections of clients that were accepted, including those that a fault refused.
    pub accepted: u64,
    /// Connections that are open at this moment.
    pub open: u64,
    /// Connections that `refuse` reset.
    pub refused: u64,
    /// Connections that ended at once because the upstream could not be reached. No fault of this proxy.
    pub unreachable: u64,
    /// Bytes that were passed on.
    pub bytes: Sides<u64>,
    /// Strikes of the faults.
    pub fired: Sides<Fired>,
}

/// Strikes in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fired {
    /// Reads whose bytes were delayed.
    pub latency: u64,
    /// Reads whose bytes were delayed by more than the latency.
    pub jitter: u64,
    /// Writes that had to wait for their turn, or were shortened to what the bandwidth allows.
    pub bandwidth: u64,
    /// Writes that were shortened to a slice.
    pub slice: u64,
    /// Bytes that were changed.
    pub corrupt: u64,
    /// Connections that had something to pass and had to wait, each once for each setting of the faults.
    pub stall: u64,
    /// Bytes that were lost.
    pub swallow: u64,
    /// Streams that were ended.
    pub cut: u64,
    /// Connections that were reset. A reset of both ways counts once, upwards.
    pub reset: u64,
}
