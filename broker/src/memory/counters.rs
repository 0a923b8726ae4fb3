//! How often each thing happened in a memory broker. The counters only grow.

/// The counters of one broker, since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages that a stream stored.
    pub published: u64,
    /// Repeats that a stream recognised.
    pub repeated: u64,
    /// Messages that a stream, or a fault, refused.
    pub refused: u64,
    /// First deliveries, to subscribers and consumers.
    pub delivered: u64,
    /// Further deliveries, to consumers.
    pub redelivered: u64,
    /// Leases that were acknowledged.
    pub acked: u64,
    /// Leases that were given back with a delay.
    pub retried: u64,
    /// Leases that were rejected for good.
    pub rejected: u64,
    /// Leases that were renewed.
    pub renewed: u64,
    /// Leases whose time ran out.
    pub lapsed: u64,
    /// Messages that left a stream by age or by limit.
    pub discarded: u64,
    /// Messages that did not fit in a subscriber's queue.
    pub overflowed: u64,
    /// Deliveries that a fault dropped.
    pub dropped: u64,
    /// Deliveries that a fault repeated.
    pub duplicated: u64,
    /// Deliveries that a fault held back.
    pub delayed: u64,
    /// Messages that a fault lost on their way to the broker.
    pub lost: u64,
    /// Acknowledgements of a publish that a fault lost.
    pub acks_lost: u64,
    /// Settlements that a fault lost.
    pub settlements_lost: u64,
    /// Settlements that a fault delayed.
    pub settlements_late: u64,
    /// How often the link went down.
    pub disconnects: u64,
    /// Acknowledged messages lost in a power failure.
    pub unsynced: u64,
    /// Messages that had left their stream and came back in a power failure.
    pub restored: u64,
    /// Messages lost with their stream, which was in memory or was deleted.
    pub wiped: u64,
}
