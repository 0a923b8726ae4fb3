//! A bounded list of arrivals, shared by the server that writes it and the test that reads it.
//! When it is full it forgets the oldest entry, and counts what it forgot.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

/// A cheap handle on the list; clones share it.
#[derive(Debug)]
pub struct Journal<T> {
    shared: Arc<Shared<T>>,
}

/// The list as it stands at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot<T> {
    /// The entries kept, oldest first.
    pub entries: Vec<T>,
    /// How many older entries had to make room for them.
    pub forgotten: u64,
}

/// Names one entry for as long as the journal lives, even after the journal has forgotten it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryNumber(u64);

impl<T: Clone> Journal<T> {
    /// An empty journal that keeps the latest `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let pages = Pages { entries: VecDeque::new(), first: 0, forgotten: 0 };
        Self { shared: Arc::new(Shared { capacity, pages: Mutex::new(pages), changed: Notify::new() }) }
    }

    /// A copy of the present state.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<T> {
        let pages = self.shared.pages.lock();
        Snapshot { entries: pages.entries.iter().cloned().collect(), forgotten: pages.forgotten }
    }

    /// Forgets all entries without counting them as forgotten.
    pub fn clear(&self) {
        let mut pages = self.shared.pages.lock();
        pages.first += pages.entries.len() as u64;
        pages.entries.clear();
        pages.forgotten = 0;
    }

    /// Waits until `enough` holds for the entries kept, and returns them. It may wait for ever: the caller
    /// decides how long is too long.
    pub async fn wait_until(&self, mut enough: impl FnMut(&[T]) -> bool) -> Vec<T> {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            // Enabled before the check, so that no change between the check and the wait is missed.
            changed.as_mut().enable();
            let entries = self.snapshot().entries;
            if enough(&entries) {
                return entries;
            }
            changed.await;
        }
    }

    pub(crate) fn push(&self, entry: T) -> EntryNumber {
        let number = self.shared.pages.lock().push(entry, self.shared.capacity);
        self.shared.changed.notify_waiters();
        number
    }

    /// Changes an entry; no effect if the journal has forgotten it.
    pub(crate) fn update(&self, number: EntryNumber, change: impl FnOnce(&mut T)) {
        if let Some(entry) = self.shared.pages.lock().entry(number) {
            change(entry);
        }
        self.shared.changed.notify_waiters();
    }
}

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[derive(Debug)]
struct Shared<T> {
    capacity: usize,
    pages: Mutex<Pages<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct Pages<T> {
    entries: VecDeque<T>,
    /// The number of the entry at the front.
    first: u64,
    forgotten: u64,
}

impl<T> Pages<T> {
    fn push(&mut self, entry: T, capacity: usize) -> EntryNumber {
        self.entries.push_back(entry);
        let number = EntryNumber(self.first + self.entries.len() as u64 - 1);
        if self.entries.len() > capacity {
            self.entries.pop_front();
            self.first += 1;
            self.forgotten += 1;
        }
        number
    }

    fn entry(&mut self, EntryNumber(number): EntryNumber) -> Option<&mut T> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_makes_room_and_is_counted() {
        let journal = Journal::new(2);
        let first = journal.push("a");
        journal.push("b");
        let third = journal.push("c");
        journal.update(first, |entry| *entry = "lost");
        journal.update(third, |entry| *entry = "C");
        let snapshot = journal.snapshot();
        assert_eq!((snapshot.entries, snapshot.forgotten), (vec!["b", "C"], 1));
    }

    #[test]
    fn an_entry_cleared_away_is_not_confused_with_a_later_one() {
        let journal = Journal::new(4);
        let before = journal.push("before");
        journal.clear();
        journal.push("after");
        journal.update(before, |entry| *entry = "wrong");
        assert_eq!(journal.snapshot().entries, ["after"]);
    }

    #[tokio::test]
    async fn a_waiter_sees_the_change_it_waits_for() {
        let journal = Journal::new(4);
        let waiter = journal.clone();
        let waiting = tokio::spawn(async move { waiter.wait_until(|seen| seen.len() == 2).await });
        journal.push(1);
        tokio::task::yield_now().await;
        journal.push(2);
        assert_eq!(waiting.await.unwrap(), [1, 2]);
    }
}
