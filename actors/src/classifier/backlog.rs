//! Estimates how much of each tenant is in the queue of each pool, as far as one classifier can tell: what the broker
//! held when last asked, plus what was filed here since. Work in progress counts too.

use std::collections::HashMap;

use broker::Error;
use parking_lot::Mutex;
use schemas::{LaneKind, Priority, Tenant};
use tokio::time::{Duration, Instant};

use crate::outbox::Outbox;

/// How old the broker's answer may be. Whoever files next asks it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What waits or is at work.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// By the subject of the tenant's own lane.
    held: Mutex<HashMap<String, u64>>,
    looked: Mutex<Option<Instant>>,
}

impl Backlog {
    /// How much is there before the work of `tenant` that is filed now.
    pub(super) async fn file(
        &self,
        (pool, class): (&str, Priority),
        tenant: &Tenant,
        outbox: &Outbox,
    ) -> u64 {
        if self.is_due(Instant::now())
            && let Err(error) = self.look(outbox).await
        {
            tracing::debug!(%error, "what waits is not known");
        }
        let own = outbox.topology().subjects.work(pool, class, LaneKind::Own, tenant);
        let mut held = self.held.lock();
        let held = held.entry(own).or_default();
        *held += 1;
        *held - 1
    }

    fn is_due(&self, now: Instant) -> bool {
        let mut looked = self.looked.lock();
        let is_due = looked.is_none_or(|looked| now.duration_since(looked) >= LOOK_EVERY);
        if is_due {
            *looked = Some(now);
        }
        is_due
    }

    async fn look(&self, outbox: &Outbox) -> Result<(), Error> {
        let topology = outbox.topology();
        let subjects = outbox.broker().subjects(&topology.work, &topology.subjects.all("work")).await?;
        let mut held = HashMap::with_capacity(subjects.len());
        for (subject, messages) in subjects {
            *held.entry(own(subject)).or_default() += messages;
        }
        *self.held.lock() = held;
        Ok(())
    }
}

/// The subject of the tenant's own lane, for a subject that may be of the shared lane.
fn own(subject: String) -> String {
    let (shared, own) = (LaneKind::Shared.as_str(), LaneKind::Own.as_str());
    match subject.rsplit_once('.').and_then(|(lane, tenant)| Some((lane.strip_suffix(shared)?, tenant))) {
        Some((pool, tenant)) => format!("{pool}{own}.{tenant}"),
        None => subject,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lanes_of_a_tenant_count_as_its_own() {
        let (shared, own_lane) = ("d.work.p.batch.shared.a", "d.work.p.batch.own.a");
        assert_eq!(own(shared.to_owned()), own_lane);
        assert_eq!(own(own_lane.to_owned()), own_lane);
        assert_eq!(own("d.work.p.batch.own.shared".to_owned()), "d.work.p.batch.own.shared");
    }
}
