//! Collects the history of a simulation: everybody with something to tell writes it here, in virtual time.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::history::{Entry, Fact};

/// The history of one run, while it is being written. Clones write into the same one.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    began: Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Entry>,
    fired: BTreeMap<String, u64>,
}

impl Recorder {
    /// Begins now.
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), inner: Arc::default() }
    }

    /// Milliseconds since the beginning.
    pub(super) fn at_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Writes one line.
    pub(super) fn write(&self, by: impl Into<String>, fact: Fact) {
        let entry = Entry { at_ms: self.at_ms(), by: by.into(), fact };
        self.inner.lock().entries.push(entry);
    }

    /// Counts that a fault of this class made a difference.
    pub(super) fn fired(&self, class: &str, times: u64) {
        *self.inner.lock().fired.entry(class.to_owned()).or_default() += times;
    }

    /// All lines, and how often each class of faults struck.
    pub(super) fn take(&self) -> (Vec<Entry>, BTreeMap<String, u64>) {
        let mut inner = self.inner.lock();
        (std::mem::take(&mut inner.entries), std::mem::take(&mut inner.fired))
    }
}
