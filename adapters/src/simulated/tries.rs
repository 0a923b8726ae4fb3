//! Counts the calls of each request, so that a failure can stop after some. Bounded: it forgets the oldest requests.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

/// The most requests to remember; at some hundred bytes each, a few megabytes.
const REQUESTS_MAX: usize = 10_000;

/// The calls of each request so far.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    calls: HashMap<String, u32>,
    /// In order of their first call; the oldest is forgotten first.
    order: VecDeque<String>,
}

impl Tries {
    /// Which call of `key` this is, from 1.
    pub(super) fn count(&self, key: &str) -> u32 {
        // No panic can interrupt counting half-way, so a poisoned lock guards sound counts.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(calls) = counts.calls.get_mut(key) {
            *calls += 1;
            return *calls;
        }
        if counts.order.len() >= REQUESTS_MAX
            && let Some(oldest) = counts.order.pop_front()
        {
            counts.calls.remove(&oldest);
        }
        counts.order.push_back(key.to_owned());
        counts.calls.insert(key.to_owned(), 1);
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_request_and_the_oldest_is_forgotten() {
        let tries = Tries::default();
        assert_eq!([tries.count("a"), tries.count("a"), tries.count("b")], [1, 2, 1]);
        (0..REQUESTS_MAX - 2).for_each(|n| assert_eq!(tries.count(&n.to_string()), 1));
        assert_eq!(tries.count("a"), 3);
        assert_eq!(tries.count("one more"), 1);
        assert_eq!(tries.count("a"), 1);
        assert_eq!(tries.0.lock().unwrap().calls.len(), REQUESTS_MAX);
    }
}
