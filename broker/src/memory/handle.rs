//! A connection to a world of messages in this process. Clones of one broker have a connection each, as clients have.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::watch, time::Instant};

use super::{state::State, stream::Moment};
use crate::{Error, ErrorKind, Link, Seams};

/// Everything that the handles of one broker share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) state: Mutex<State>,
    pub(super) link: watch::Sender<Link>,
    pub(super) seams: Seams,
    pub(super) message_bytes_max: usize,
}

/// One connection: all that was made with it ends when it is closed.
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

    /// Closes it, and wakes whoever waits on it.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.world.state.lock().ring();
    }

    /// The state, for an operation that is named by `doing`; an error if the broker cannot be reached.
    pub(super) fn enter(&self, doing: impl FnOnce() -> String) -> Result<MutexGuard<'_, State>, Error> {
        // Locked first: the link changes under the lock, so that nothing passes after it was cut.
        let state = self.world.state.lock();
        if self.is_closed() {
            return Err(Error::new(ErrorKind::Closed, doing()));
        }
        if *self.world.link.borrow() != Link::Up {
            return Err(Error::new(ErrorKind::Disconnected, doing()));
        }
        Ok(state)
    }

    /// Both clocks.
    pub(super) fn moment(&self) -> Moment {
        Moment { now: Instant::now(), wall: self.world.seams.clock.now() }
    }
}
