//! The handle on a link: sets its faults while it runs and reads what they did. It touches no socket.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, watch};

use super::counts::Counts;
use super::faults::Faults;
use super::side::{Side, Sides};

/// A cheap handle; clones share the link. It stays valid while the proxy serves and afterwards.
#[derive(Clone, Debug)]
pub struct Link {
    shared: Arc<Shared>,
}

/// A link at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct State {
    /// The faults that are set, in the words of the grammar.
    pub faults: String,
    /// What happened so far.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What every connection of a link obeys.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    pub(super) faults: Faults,
    /// Grows whenever faults are set.
    pub(super) generation: u64,
    /// The generation of the latest `cut` of each direction.
    pub(super) cut: Sides<u64>,
    /// The generation of the latest `reset`.
    pub(super) reset: Sides<u64>,
}

#[derive(Debug)]
struct Shared {
    orders: watch::Sender<Orders>,
    counts: Mutex<Counts>,
    changed: Notify,
}

impl Link {
    pub(super) fn new(faults: Faults) -> Self {
        let (orders, _) = watch::channel(Orders::default());
        let link =
            Self { shared: Arc::new(Shared { orders, counts: Mutex::default(), changed: Notify::new() }) };
        link.set(faults);
        link
    }

    /// Replaces the faults that were set, for new connections and existing ones.
    /// A `cut` or a `reset` hits every connection that exists now, even if it is healed the next moment.
    pub fn set(&self, faults: Faults) {
        tracing::info!(%faults, "faults of the link set");
        self.shared.orders.send_modify(|orders| {
            orders.generation += 1;
            for (side, way) in [(Side::Up, &faults.up), (Side::Down, &faults.down)] {
                if way.cut_after == Some(0) {
                    *orders.cut.of_mut(side) = orders.generation;
                }
                if way.reset_after == Some(0) {
                    *orders.reset.of_mut(side) = orders.generation;
                }
            }
            orders.faults = faults;
        });
    }

    /// Takes all faults away. What a stall held arrives now.
    pub fn heal(&self) {
        self.set(Faults::default());
    }

    /// The faults that are set.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.shared.orders.borrow().faults.clone()
    }

    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.counts.lock().clone()
    }

    /// The link at this moment.
    #[must_use]
    pub fn state(&self) -> State {
        State { faults: self.faults().to_string(), counts: self.counts() }
    }

    /// Waits until `enough` holds, and returns the counts for which it did. It may wait for ever: the caller
    /// decides how long is too long.
    pub async fn wait_until(&self, mut enough: impl FnMut(&Counts) -> bool) -> Counts {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            // Enabled before the check, so that no change between the check and the wait is missed.
            changed.as_mut().enable();
            let counts = self.counts();
            if enough(&counts) {
                return counts;
            }
            changed.await;
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.shared.counts.lock());
        self.shared.changed.notify_waiters();
    }

    pub(super) fn orders(&self) -> watch::Receiver<Orders> {
        self.shared.orders.subscribe()
    }
}
