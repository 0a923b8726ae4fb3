//! Pulling from a consumer, and settling what was pulled. All waiting of consumers happens in one place: here.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::{sync::Notify, time::Instant};

use super::{handle::Handle, stream::Delivery};
use crate::{Consumer, Error, ErrorKind, Lease, Message, Settle, Settlement};

/// One handle of a consumer.
#[derive(Debug)]
pub(super) struct Puller {
    handle: Handle,
    /// The numbers of the stream and of the consumer in it.
    place: (usize, usize),
    name: String,
    bell: Arc<Notify>,
    closed: bool,
}

impl Puller {
    /// A handle of the consumer at `place`, which is `name` for people.
    pub(super) const fn new(handle: Handle, place: (usize, usize), name: String, bell: Arc<Notify>) -> Self {
        Self { handle, place, name, bell, closed: false }
    }

    /// Leases what there is now; also returns when to look again if there is nothing.
    fn look(&self, credit: usize) -> Result<(Vec<Delivery>, Instant), Error> {
        let state = &mut *self.handle.enter(|| format!("pull from {}", self.name))?;
        let (stream, consumer) = self.place;
        let stream = &mut state.streams[stream];
        let now = Instant::now();
        let leased = stream.lease(consumer, credit, now, &mut state.effects);
        if stream.has_more(consumer) {
            // The next one who waits takes the rest.
            self.bell.notify_one();
        }
        Ok((leased, stream.consumers[consumer].wake_at(now)))
    }

    fn lease(&self, Delivery { stored, deliveries, pending }: Delivery) -> Lease {
        let settler = Settler {
            handle: self.handle.clone(),
            place: self.place,
            sequence: stored.sequence,
            message: stored.message.clone(),
        };
        let mut lease = Lease::new(stored.message, stored.sequence, deliveries, Arc::new(settler));
        lease.stored_at = stored.stored_at;
        lease.pending = pending;
        lease
    }
}

#[async_trait]
impl Consumer for Puller {
    async fn pull(&mut self, credit: usize) -> Result<Vec<Lease>, Error> {
        if self.closed {
            return Err(Error::new(ErrorKind::Closed, format!("pull from {}", self.name)));
        }
        // A loop of pulls that always find something must let other tasks run as well.
        tokio::task::coop::consume_budget().await;
        loop {
            let bell = self.bell.notified();
            tokio::pin!(bell);
            // Listen for the bell before looking, so that none is missed. Dropping it passes a ring on to the next.
            bell.as_mut().enable();
            let (leased, wake_at) = self.look(credit.max(1))?;
            if !leased.is_empty() {
                return Ok(leased.into_iter().map(|delivery| self.lease(delivery)).collect());
            }
            tokio::select! {
                biased;
                () = bell => {}
                () = tokio::time::sleep_until(wake_at) => {}
            }
        }
    }

    async fn close(&mut self) {
        // A pull returns all that it leases, so there is nothing to give back.
        self.closed = true;
    }
}

/// Settles one lease.
struct Settler {
    handle: Handle,
    place: (usize, usize),
    sequence: u64,
    message: Message,
}

#[async_trait]
impl Settle for Settler {
    async fn settle(&self, settlement: Settlement) -> Result<(), Error> {
        let mut state = self.handle.enter(|| format!("settle a lease on {}", self.message.subject))?;
        state.settle(self.place, &self.message, self.sequence, settlement, Instant::now());
        Ok(())
    }
}
