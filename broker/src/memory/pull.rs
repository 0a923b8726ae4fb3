//! Pulls from a consumer. All waiting on consumers happens here.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{sync::Notify, time::Instant};

use super::{handle::Handle, settle::Settler, stream::Delivery};
use crate::{Consumer, ConsumerSpec, Error, ErrorKind, Lease};

/// A pull gives up after this long without a sign of life from the broker: twice five seconds, as on a real one.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// One handle of a consumer.
#[derive(Debug)]
pub(super) struct Puller {
    handle: Handle,
    /// The numbers of the stream and of the consumer in it.
    place: (usize, usize),
    spec: ConsumerSpec,
    bell: Arc<Notify>,
    closed: bool,
}

impl Puller {
    /// A handle of the consumer at `place`, whose specification is `spec`.
    pub(super) const fn new(
        handle: Handle,
        place: (usize, usize),
        spec: ConsumerSpec,
        bell: Arc<Notify>,
    ) -> Self {
        Self { handle, place, spec, bell, closed: false }
    }

    fn doing(&self) -> String {
        format!("pull from {}/{}", self.spec.stream, self.spec.name)
    }

    /// Leases what is available now; also returns when to look again if there is nothing.
    fn look(&self, credit: usize) -> Result<(Vec<Delivery>, Instant), Error> {
        let state = &mut *self.handle.enter_store(|| self.doing())?;
        let late_at = state.late.next_due();
        let (stream, consumer) = self.place;
        let stream = &mut state.streams[stream];
        let now = Instant::now();
        if stream.consumers[consumer].is_gone() {
            stream.revive(now, &mut state.effects);
            stream.open(&self.spec, now, &mut state.effects)?;
        }
        let leased = stream.lease(consumer, credit, now, &mut state.effects);
        if stream.has_more(consumer) {
            // The next waiting pull takes the rest.
            self.bell.notify_one();
        }
        let wake_at = stream.consumers[consumer].wake_at(now);
        Ok((leased, late_at.map_or(wake_at, |late_at| wake_at.min(late_at))))
    }

    fn lease(&self, Delivery { stored, deliveries, pending }: Delivery) -> Lease {
        let settler = Settler::new(self.handle.clone(), self.place, stored.sequence, stored.message.clone());
        let mut lease = Lease::new(stored.message, stored.sequence, deliveries, Arc::new(settler));
        lease.stored_at = stored.stored_at;
        lease.pending = pending;
        lease
    }
}

#[async_trait]
impl Consumer for Puller {
    async fn pull(&mut self, max: usize, patience: Duration) -> Result<Vec<Lease>, Error> {
        let deadline = Instant::now() + patience;
        if self.closed {
            return Err(Error::new(ErrorKind::Closed, self.doing()));
        }
        // A loop of pulls that always find something must let other tasks run as well.
        tokio::task::coop::consume_budget().await;
        loop {
            self.handle.thawed(SILENCE_MAX, || self.doing()).await?;
            let bell = self.bell.notified();
            tokio::pin!(bell);
            // Listen for the bell before looking, so that no ring is missed. Dropping this passes a ring on.
            bell.as_mut().enable();
            let (leased, wake_at) = self.look(max.max(1))?;
            if !leased.is_empty() || Instant::now() >= deadline {
                return Ok(leased.into_iter().map(|delivery| self.lease(delivery)).collect());
            }
            tokio::select! {
                biased;
                () = bell => {}
                () = tokio::time::sleep_until(wake_at.min(deadline)) => {}
            }
        }
    }

    async fn close(&mut self) {
        // A pull returns all that it leases, so there is nothing to give back.
        self.closed = true;
    }
}
