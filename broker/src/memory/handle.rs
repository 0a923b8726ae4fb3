//! A connection to a broker in this process. Each clone of a broker has a connection of its own, as clients have.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout_at},
};

use super::{class::FaultClass, state::State, stream::Moment};
use crate::{Error, ErrorKind, Link, Seams};

/// How long a question waits for its answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Everything that the handles of one broker share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) state: Mutex<State>,
    pub(super) link: watch::Sender<Link>,
    pub(super) seams: Seams,
    pub(super) message_bytes_max: usize,
    /// Rung when a frozen broker is thawed, or when nobody needs to wait for that any more.
    pub(super) thawed: Notify,
}

/// One connection. Closing it ends everything that was made with it.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    pub(super) world: Arc<World>,
    closed: Arc<AtomicBool>,
}

impl Handle {
    /// A new connection to `world`.
    pub(super) fn new(world: Arc<World>) -> Self {
        Self { world, closed: Arc::default() }
    }

    /// Whether it has been closed.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Closes it, and wakes everybody who waits on it.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.world.state.lock().ring();
        self.world.thawed.notify_waiters();
    }

    /// Waits while the broker is frozen, at most for `within`. `enter` then says whether it can be reached.
    pub(super) async fn thawed(&self, within: Duration, doing: impl FnOnce() -> String) -> Result<(), Error> {
        if !self.meets_frost() {
            return Ok(());
        }
        self.world.state.lock().effects.faults.struck(FaultClass::Freeze);
        let deadline = Instant::now() + within;
        loop {
            let thawed = self.world.thawed.notified();
            tokio::pin!(thawed);
            // Listen before looking, so that no thaw is missed.
            thawed.as_mut().enable();
            if !self.meets_frost() {
                return Ok(());
            }
            if timeout_at(deadline, thawed).await.is_err() {
                return Err(Error::new(ErrorKind::Timeout, format!("{}: no answer", doing())));
            }
        }
    }

    /// Whether the broker is frozen, and nothing else is wrong.
    fn meets_frost(&self) -> bool {
        let state = self.world.state.lock();
        state.frozen.is_some() && !state.down.any() && !self.is_closed()
    }

    /// The state, for the operation that `doing` names; an error if the broker cannot be reached.
    pub(super) fn enter(&self, doing: impl FnOnce() -> String) -> Result<MutexGuard<'_, State>, Error> {
        // Locked first: the link changes under the lock, so that nothing passes after a cut.
        let mut state = self.world.state.lock();
        if self.is_closed() {
            return Err(Error::new(ErrorKind::Closed, doing()));
        }
        if *self.world.link.borrow() != Link::Up {
            return Err(Error::new(ErrorKind::Disconnected, doing()));
        }
        state.settle_due(Instant::now());
        Ok(state)
    }

    /// As [`Self::enter`], for operations on streams or buckets.
    pub(super) fn enter_store(&self, doing: impl Fn() -> String) -> Result<MutexGuard<'_, State>, Error> {
        let mut state = self.enter(&doing)?;
        state.must_be_enabled(doing)?;
        Ok(state)
    }

    /// As [`Self::enter_store`], for a question that waits for its answer.
    pub(super) async fn ask(&self, doing: impl Fn() -> String) -> Result<MutexGuard<'_, State>, Error> {
        self.thawed(ANSWER_MAX, &doing).await?;
        self.enter_store(doing)
    }

    /// Both clocks.
    pub(super) fn moment(&self) -> Moment {
        Moment { now: Instant::now(), wall: self.world.seams.clock.now() }
    }
}
