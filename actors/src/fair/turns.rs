//! The order in which lanes are served: for each class, the lanes that a grant could go to, the next one first. However
//! many lanes there are, the next one is found at once.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use schemas::Priority;

use super::Lane;

/// When a lane's turn comes: first the lane served least, and among equals the one that has waited longest, since by
/// name the same one would always go first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    virtual_time: f64,
    granted_at: u64,
}

impl Turn {
    pub(super) const fn new(virtual_time: f64, granted_at: u64) -> Self {
        Self { virtual_time, granted_at }
    }
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        self.virtual_time.total_cmp(&other.virtual_time).then(self.granted_at.cmp(&other.granted_at))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Turn {}

/// The lanes in order.
#[derive(Debug, Default)]
pub(super) struct Turns(BTreeMap<Priority, BTreeSet<(Turn, Lane)>>);

impl Turns {
    /// Whose turn it is in `class`.
    pub(super) fn first(&self, class: Priority) -> Option<&Lane> {
        self.0.get(&class)?.first().map(|(_, lane)| lane)
    }

    /// How many lanes could have a turn in `class`.
    pub(super) fn len_of(&self, class: Priority) -> usize {
        self.0.get(&class).map_or(0, BTreeSet::len)
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Moves the turn of `lane`.
    pub(super) fn change(&mut self, lane: &Lane, before: Option<Turn>, after: Option<Turn>) {
        if before == after {
            return;
        }
        let of_class = self.0.entry(lane.class).or_default();
        if let Some(before) = before {
            of_class.remove(&(before, lane.clone()));
        }
        if let Some(after) = after {
            of_class.insert((after, lane.clone()));
        }
    }
}
