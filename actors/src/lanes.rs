//! Decides in which lane work is filed. Each lane is a consumer in the broker, which costs something at every ack: so
//! the next request of a tenant without a backlog goes into the lane that all such tenants share, and the requests of a
//! tenant with a backlog go into a lane of its own, so that nobody waits behind them.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use schemas::{LaneKind, Priority, Subjects, Tenant};
use tokio::time::Instant;

use crate::queue::LANE_IDLE_MAX;

/// This many lanes are given to any tenant with more than one waiting request.
const FREE: usize = 64;
/// Once these are taken, a tenant is given one only with this many waiting.
const CROWD: u64 = 8;
/// How often to look for lanes that the broker has forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The tenants' own lanes that the holder of this has given away.
#[derive(Debug, Default)]
pub struct Lanes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// When each lane was last used, by its subject.
    used: HashMap<String, Instant>,
    swept: Option<Instant>,
}

impl Lanes {
    /// The subject on which the next work of `tenant` is filed for `pool`, if `ahead` of its requests wait there.
    pub fn subject(
        &self,
        subjects: &Subjects,
        (pool, class): (&str, Priority),
        tenant: &Tenant,
        ahead: u64,
    ) -> String {
        let own = subjects.work(pool, class, LaneKind::Own, tenant);
        match self.choose(&own, ahead, Instant::now()) {
            LaneKind::Own => own,
            LaneKind::Shared => subjects.work(pool, class, LaneKind::Shared, tenant),
        }
    }

    /// Whether work goes into the `own` lane. A lane that was given stays given for as long as the broker keeps it.
    fn choose(&self, own: &str, ahead: u64, now: Instant) -> LaneKind {
        if ahead == 0 {
            return LaneKind::Shared;
        }
        let mut inner = self.0.lock();
        if let Some(used) = inner.used.get_mut(own)
            && now.duration_since(*used) < LANE_IDLE_MAX
        {
            *used = now;
            return LaneKind::Own;
        }
        if !inner.has_free(now) && ahead < CROWD {
            return LaneKind::Shared;
        }
        inner.used.insert(own.to_owned(), now);
        LaneKind::Own
    }
}

impl Inner {
    fn has_free(&mut self, now: Instant) -> bool {
        let is_due = self.swept.is_none_or(|swept| now.duration_since(swept) >= SWEEP_EVERY);
        if self.used.len() >= FREE && is_due {
            self.swept = Some(now);
            self.used.retain(|_, used| now.duration_since(*used) < LANE_IDLE_MAX);
        }
        self.used.len() < FREE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    #[test]
    fn one_that_waits_with_more_has_its_own() {
        let (lanes, now) = (Lanes::default(), Instant::now());
        assert_eq!(lanes.choose("a", 0, now), LaneKind::Shared);
        assert_eq!(lanes.choose("a", 1, now), LaneKind::Own);
        assert_eq!(lanes.choose("a", 0, now), LaneKind::Shared, "it has nothing to keep in order with");
    }

    #[test]
    fn when_many_have_one_only_a_crowd_is_given_one() {
        let (lanes, now) = (Lanes::default(), Instant::now());
        for index in 0..FREE {
            assert_eq!(lanes.choose(&index.to_string(), 1, now), LaneKind::Own);
        }
        assert_eq!(lanes.choose("late", CROWD - 1, now), LaneKind::Shared);
        assert_eq!(lanes.choose("late", CROWD, now), LaneKind::Own);
        assert_eq!(lanes.choose("later", 1, now), LaneKind::Shared);
        assert_eq!(lanes.choose("0", 1, now + HOUR), LaneKind::Own, "the broker has it still");
        assert_eq!(
            lanes.choose("later", 1, now + 5 * HOUR / 2),
            LaneKind::Own,
            "those of before are forgotten"
        );
        assert_eq!(lanes.0.lock().used.len(), 2);
    }
}
