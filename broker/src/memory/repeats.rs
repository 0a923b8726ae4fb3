//! The ids of stored messages, for as long as a repeat is recognised.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

/// The ids of one stream.
#[derive(Debug)]
pub(super) struct Repeats {
    window: Duration,
    sequences: HashMap<Arc<str>, u64>,
    oldest_first: VecDeque<(Instant, Arc<str>)>,
}

impl Repeats {
    /// Recognises an id for `window`.
    pub(super) fn new(window: Duration) -> Self {
        Self { window, sequences: HashMap::new(), oldest_first: VecDeque::new() }
    }

    /// The sequence under which `id` was stored, if that was within the window.
    pub(super) fn find(&mut self, id: &str, now: Instant) -> Option<u64> {
        while let Some((since, id)) = self.oldest_first.front() {
            if now.duration_since(*since) < self.window {
                break;
            }
            self.sequences.remove(id);
            self.oldest_first.pop_front();
        }
        self.sequences.get(id).copied()
    }

    /// Forgets all ids; returns how many it knew.
    pub(super) fn clear(&mut self) -> u64 {
        self.oldest_first.clear();
        std::mem::take(&mut self.sequences).len() as u64
    }

    /// Remembers an id that [`Self::find`] did not know. Only ids of stored messages: a refusal burns no id.
    pub(super) fn remember(&mut self, id: &str, sequence: u64, now: Instant) {
        let id: Arc<str> = id.into();
        self.sequences.insert(Arc::clone(&id), sequence);
        self.oldest_first.push_back((now, id));
    }
}
