//! An unsettled message, and the four ways to settle it.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Error, Message};

/// A message that belongs to its holder for `ack_wait`, or until it is settled. Settling consumes it.
///
/// If a lease is dropped unsettled, its message is redelivered when the time is up. An ack proves no ownership: the
/// broker accepts one from a holder whose lease has long passed to another. The attempt number is the fence.
#[must_use = "a lease that is not settled is delivered again"]
pub struct Lease {
    /// The message.
    pub message: Message,
    /// Its sequence number in the stream; redelivery does not change it.
    pub sequence: u64,
    /// How often the broker has delivered it, from 1.
    pub deliveries: u32,
    /// When the broker stored it.
    pub stored_at: Timestamp,
    /// How many messages waited behind it when it was delivered.
    pub pending: u64,
    settle: Arc<dyn Settle>,
}

/// What to do with a leased message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The message is done.
    Ack,
    /// Redeliver it, but not before this time has passed.
    RetryAfter(Duration),
    /// Never redeliver it. Park it first.
    Reject,
    /// Work on it continues: restart its time.
    Renew,
}

/// How a broker carries out a [`Settlement`].
#[async_trait]
pub trait Settle: Send + Sync {
    /// Carries out `settlement`. `Ack` and `RetryAfter` need not wait for the broker: a lost one means redelivery.
    async fn settle(&self, settlement: Settlement) -> Result<(), Error>;
}

impl Lease {
    /// A lease on `message`.
    pub fn new(message: Message, sequence: u64, deliveries: u32, settle: Arc<dyn Settle>) -> Self {
        Self { message, sequence, deliveries, stored_at: Timestamp::UNIX_EPOCH, pending: 0, settle }
    }

    /// Reports that the message is done.
    pub async fn ack(self) -> Result<(), Error> {
        self.settle.settle(Settlement::Ack).await
    }

    /// Asks for redelivery after `delay`.
    pub async fn retry_after(self, delay: Duration) -> Result<(), Error> {
        self.settle.settle(Settlement::RetryAfter(delay)).await
    }

    /// Asks never to redeliver it. Park it first.
    pub async fn reject(self) -> Result<(), Error> {
        self.settle.settle(Settlement::Reject).await
    }

    /// A handle by which another task renews, or gives back, this lease.
    pub fn settler(&self) -> Arc<dyn Settle> {
        Arc::clone(&self.settle)
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("subject", &self.message.subject)
            .field("sequence", &self.sequence)
            .field("deliveries", &self.deliveries)
            .finish_non_exhaustive()
    }
}

/// A durable consumer.
#[async_trait]
pub trait Consumer: Send {
    /// Returns up to `max` of the messages that are available now. If there are none, waits at most `patience` for the
    /// first, and then returns none. Without patience it returns only what is available now.
    ///
    /// Cancel-safe: the next call returns what arrived for a dropped one. Every error is transient unless its kind is
    /// `Closed`: the caller waits a moment and calls again, and on that call the consumer heals itself (re-creates what
    /// is gone).
    async fn pull(&mut self, max: usize, patience: Duration) -> Result<Vec<Lease>, Error>;

    /// Stops asking for messages and gives back those not yet returned, at once and for anybody to take.
    async fn close(&mut self);
}
