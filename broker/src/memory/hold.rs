//! Messages that a fault holds back. They may overtake messages on other subjects, never one on their own.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

/// Held items, by the time when they are due.
#[derive(Debug)]
pub(super) struct Hold<T> {
    items: BTreeMap<(Instant, u64), (String, T)>,
    // How many items of a subject are held, and when the last of them is due.
    subjects: HashMap<String, (usize, Instant)>,
    arrivals: u64,
}

impl<T> Default for Hold<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), subjects: HashMap::new(), arrivals: 0 }
    }
}

impl<T> Hold<T> {
    /// Whether something on `subject` is held, so that later items on it have to wait as well.
    pub(super) fn holds(&self, subject: &str) -> bool {
        !self.subjects.is_empty() && self.subjects.contains_key(subject)
    }

    /// Holds `item` until `due`, or until the one before it on its subject is due; returns that time.
    pub(super) fn push(&mut self, due: Instant, subject: &str, item: T) -> Instant {
        let (count, last) = self.subjects.entry(subject.to_owned()).or_insert((0, due));
        *count += 1;
        *last = due.max(*last);
        let until = *last;
        self.items.insert((until, self.arrivals), (subject.to_owned(), item));
        self.arrivals += 1;
        until
    }

    /// Takes the next item that is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.next_due()? > now {
            return None;
        }
        let (_, (subject, item)) = self.items.pop_first()?;
        self.release(&subject);
        Some(item)
    }

    /// When the next item is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.items.first_key_value().map(|((due, _), _)| *due)
    }

    /// How many are held.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Drops all items.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.subjects.clear();
    }

    /// Whether `is_it` holds for a held item.
    pub(super) fn any(&self, is_it: impl Fn(&T) -> bool) -> bool {
        self.items.values().any(|(_, item)| is_it(item))
    }

    /// Drops one item for which `is_it` holds; returns whether there was one.
    pub(super) fn discard(&mut self, is_it: impl Fn(&T) -> bool) -> bool {
        let found = self.items.iter().find(|(_, (_, item))| is_it(item)).map(|(key, _)| *key);
        let Some((subject, _)) = found.and_then(|key| self.items.remove(&key)) else { return false };
        self.release(&subject);
        true
    }

    fn release(&mut self, subject: &str) {
        if let Some((count, _)) = self.subjects.get_mut(subject) {
            *count -= 1;
            if *count == 0 {
                self.subjects.remove(subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn later_messages_overtake_on_other_subjects_only() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut hold = Hold::default();
        hold.push(after(5), "a", 1);
        hold.push(after(1), "a", 2);
        hold.push(after(1), "b", 3);
        assert_eq!(hold.pop_due(now), None);
        assert_eq!(hold.pop_due(after(1)), Some(3));
        assert!(hold.holds("a") && !hold.holds("b"));
        assert_eq!(
            [hold.pop_due(after(5)), hold.pop_due(after(5)), hold.pop_due(after(5))],
            [Some(1), Some(2), None]
        );
        assert!(!hold.holds("a"));
    }
}
