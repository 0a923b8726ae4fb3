//! Limits the bytes of requests that this gateway holds over all connections, from when a door reads a request until it
//! is done with it. One gauge, one cap.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Meters;

/// The total room: one permit per byte.
#[derive(Debug)]
pub(crate) struct Room {
    bytes: Arc<Semaphore>,
    meters: Meters,
}

/// What one request takes; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    bytes: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    meters: Meters,
}

impl Room {
    /// Room for `bytes_max`.
    pub(crate) fn new(bytes_max: usize, meters: Meters) -> Self {
        Self { bytes: Arc::new(Semaphore::new(bytes_max.min(Semaphore::MAX_PERMITS))), meters }
    }

    /// A share that holds nothing yet.
    pub(crate) fn share(&self) -> Share {
        Share { bytes: Arc::clone(&self.bytes), held: None, meters: self.meters.clone() }
    }
}

impl Share {
    /// Takes `bytes` more; `false` if there is no room for them.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let Ok(count) = u32::try_from(bytes) else { return false };
        let Ok(more) = Arc::clone(&self.bytes).try_acquire_many_owned(count) else { return false };
        self.meters.request_bytes(bytes.cast_signed());
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            self.meters.request_bytes(-held.num_permits().cast_signed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back_and_no_more_is_given_than_there_is() {
        let room = Room::new(10, Meters::new());
        let (mut one, mut other) = (room.share(), room.share());
        assert!(one.grow(4) && one.grow(2) && other.grow(4));
        assert!(!other.grow(1) && !one.grow(usize::MAX));
        drop(one);
        assert!(other.grow(6) && !other.grow(1));
    }
}
