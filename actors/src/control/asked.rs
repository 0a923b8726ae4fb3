//! Remembers the cancels whose requests have not ended, as far as this engine knows: bounded in number and in age.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use super::Key;

/// The cancels, oldest first, and by request.
#[derive(Debug)]
pub(super) struct Asked {
    order: BTreeMap<u64, (Instant, Key)>,
    places: HashMap<Key, u64>,
    next: u64,
    count_max: usize,
    age_max: Duration,
}

impl Asked {
    /// Remembers at most `count_max` cancels, each for `age_max`.
    pub(super) fn new(count_max: usize, age_max: Duration) -> Self {
        Self { order: BTreeMap::new(), places: HashMap::new(), next: 0, count_max, age_max }
    }

    /// Remembers a cancel; drops the oldest if there are too many.
    pub(super) fn remember(&mut self, key: Key, now: Instant) {
        self.expire(now);
        if self.places.contains_key(&key) {
            return;
        }
        if self.places.len() >= self.count_max {
            self.drop_oldest();
        }
        self.places.insert(key.clone(), self.next);
        self.order.insert(self.next, (now, key));
        self.next += 1;
    }

    /// Whether a cancel of this request is known.
    pub(super) fn contains(&self, key: &Key, now: Instant) -> bool {
        let place = self.places.get(key).and_then(|place| self.order.get(place));
        place.is_some_and(|(since, _)| now.duration_since(*since) < self.age_max)
    }

    /// Forgets a cancel, whose request has ended; returns whether there was one.
    pub(super) fn forget(&mut self, key: &Key) -> bool {
        let place = self.places.remove(key);
        place.is_some_and(|place| self.order.remove(&place).is_some())
    }

    fn expire(&mut self, now: Instant) {
        while let Some((since, _)) = self.order.values().next()
            && now.duration_since(*since) >= self.age_max
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, (_, oldest))) = self.order.pop_first() {
            self.places.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::{RequestId, Tenant};

    use super::*;

    const AGE: Duration = Duration::from_secs(60);

    fn key(number: usize) -> Key {
        (Tenant::new("t").unwrap(), RequestId::new(format!("r{number}")).unwrap())
    }

    #[test]
    fn a_flood_of_cancels_takes_no_more_than_its_room() {
        let (mut asked, now) = (Asked::new(3, AGE), Instant::now());
        for number in 0..100 {
            asked.remember(key(number), now);
            asked.remember(key(number), now);
        }
        assert_eq!((asked.places.len(), asked.order.len()), (3, 3));
        let known: Vec<_> = (0..100).filter(|number| asked.contains(&key(*number), now)).collect();
        assert_eq!(known, [97, 98, 99]);
    }

    #[test]
    fn a_cancel_is_forgotten_with_its_request_or_by_age() {
        let (mut asked, now) = (Asked::new(10, AGE), Instant::now());
        asked.remember(key(1), now);
        asked.remember(key(2), now);
        assert!(asked.forget(&key(1)) && !asked.forget(&key(1)));
        assert!(!asked.contains(&key(1), now) && asked.contains(&key(2), now));
        assert!(!asked.contains(&key(2), now + AGE));
        asked.remember(key(3), now + AGE);
        assert_eq!((asked.places.len(), asked.order.len()), (1, 1));
    }
}
