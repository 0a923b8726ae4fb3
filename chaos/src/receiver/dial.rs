//! Changes the default replies of a callback receiver while it serves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Desk, Replies};

/// A cheap handle; clones control the same receiver.
#[derive(Clone, Debug)]
pub struct Dial {
    desk: Arc<Desk>,
}

impl Dial {
    pub(super) fn of(desk: &Arc<Desk>) -> Self {
        Self { desk: Arc::clone(desk) }
    }

    /// Sets the default replies from the next delivery on.
    pub fn set(&self, replies: Replies) {
        *self.desk.replies.lock() = replies;
    }

    /// How many deliveries it has refused or delayed so far.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.desk.struck.load(Ordering::Relaxed)
    }
}
