//! An unsettled message, and the four things one can do with it.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Error, Message};

/// A message that is ours for `ack_wait`, or until it is settled. Settling consumes it.
///
/// A lease that is dropped unsettled is delivered again when its time is up. An acknowledgement proves nothing about
/// ownership: the broker takes one from a holder whose lease has long passed to another. The attempt number is the fence.
#[must_use = "a lease that is not settled is delivered again"]
pub struct Lease {
    /// The message.
    pub message: Message,
    /// Its sequence number in the stream: stable over redelivery.
    pub sequence: u64,
    /// How often it has been delivered, from 1.
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
    /// It is done.
    Ack,
    /// Deliver it again, not before this time has passed.
    RetryAfter(Duration),
    /// Never deliver it again. Park it first.
    Reject,
    /// It is still being worked on: start its time again.
    Renew,
}

/// How a broker carries out a [`Settlement`].
#[async_trait]
pub trait Settle: Send + Sync {
    /// Carries out `settlement`. `Ack` and `RetryAfter` need not wait for the broker: what is lost is delivered again.
    async fn settle(&self, settlement: Settlement) -> Result<(), Error>;
}

impl Lease {
    /// A lease on `message`.
    pub fn new(message: Message, sequence: u64, deliveries: u32, settle: Arc<dyn Settle>) -> Self {
        Self { message, sequence, deliveries, stored_at: Timestamp::UNIX_EPOCH, pending: 0, settle }
    }

    /// It is done.
    pub async fn ack(self) -> Result<(), Error> {
        self.settle.settle(Settlement::Ack).await
    }

    /// Deliver it again after `delay`.
    pub async fn retry_after(self, delay: Duration) -> Result<(), Error> {
        self.settle.settle(Settlement::RetryAfter(delay)).await
    }

    /// Never deliver it again. Park it first.
    pub async fn reject(self) -> Result<(), Error> {
        self.settle.settle(Settlement::Reject).await
    }

    /// A handle that renews, or gives back, this lease from another task.
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
    /// Returns up to `max` of the messages that are there. Where there are none it waits for the first, at most for
    /// `patience`, and then returns none. Without patience: what is there now.
    ///
    /// Cancel-safe: what comes for a call that is dropped is returned by the next. An error is transient unless its kind
    /// is `Closed`: the caller waits a moment and calls again; the consumer heals itself (re-creates what is gone) on the
    /// next call.
    async fn pull(&mut self, max: usize, patience: Duration) -> Result<Vec<Lease>, Error>;

    /// Stops asking for messages and gives back, at once and for anybody, those that were not returned yet.
    async fn close(&mut self);
}
