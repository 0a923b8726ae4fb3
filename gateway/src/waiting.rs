//! Counts how many requests of each tenant wait for each pool: sent by this gateway, not begun as far as it has heard.
//! One tenant must not fill the whole queue. Never asks anybody; the holder of a ticket decides how long it counts.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use schemas::Tenant;

/// A tenant and a pool.
type Line = (Tenant, String);

/// The lines, and how long each may be.
#[derive(Debug)]
pub(crate) struct Waiting {
    lengths: Mutex<HashMap<Line, u64>>,
    length_max: u64,
}

/// One place in a line; dropping it leaves the line.
#[derive(Debug)]
pub(crate) struct Ticket {
    waiting: Arc<Waiting>,
    line: Line,
    ahead: u64,
}

impl Waiting {
    /// At most `length_max` requests wait in each line.
    pub(crate) fn new(length_max: u64) -> Arc<Self> {
        Arc::new(Self { lengths: Mutex::default(), length_max })
    }

    /// A place in the line of `tenant` for `pool`; `None` if the line is full.
    pub(crate) fn take(self: &Arc<Self>, tenant: &Tenant, pool: &str) -> Option<Ticket> {
        let line = (tenant.clone(), pool.to_owned());
        let mut lengths = self.lengths.lock();
        let length = lengths.entry(line.clone()).or_default();
        if *length >= self.length_max {
            return None;
        }
        let ahead = *length;
        *length += 1;
        Some(Ticket { waiting: Arc::clone(self), line, ahead })
    }
}

impl Ticket {
    /// How many were in the line before it.
    pub(crate) const fn ahead(&self) -> u64 {
        self.ahead
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut lengths = self.waiting.lengths.lock();
        if let Some(length) = lengths.get_mut(&self.line) {
            *length -= 1;
            if *length == 0 {
                lengths.remove(&self.line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_full_for_its_tenant_and_pool_alone_and_a_ticket_is_good_once() {
        let (waiting, tenant) = (Waiting::new(2), |name: &str| Tenant::new(name).unwrap());
        let first = waiting.take(&tenant("a"), "sim").unwrap();
        let second = waiting.take(&tenant("a"), "sim").unwrap();
        assert_eq!((first.ahead(), second.ahead()), (0, 1));
        assert!(waiting.take(&tenant("a"), "sim").is_none());
        let others =
            [waiting.take(&tenant("b"), "sim").unwrap(), waiting.take(&tenant("a"), "other").unwrap()];
        drop(first);
        let _third = waiting.take(&tenant("a"), "sim").unwrap();
        assert!(waiting.take(&tenant("a"), "sim").is_none());
        drop(others);
        assert_eq!(waiting.lengths.lock().len(), 1, "an empty line takes no room");
    }
}
