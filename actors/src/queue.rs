//! The queue of a stage: a stream in which tenants, or classes of tenants, have lanes.
//!
//! A consumer delivers messages in the order in which they came. So each lane is a consumer, created when its first
//! message rings; [`crate::fair`] decides which lane is asked next.

use std::time::Duration;

use broker::ConsumerSpec;
use schemas::{LaneKind, Priority, Subjects, Tenant};
use sha2::{Digest, Sha256};

use crate::fair::Lane;

/// The most messages of one lane that all processes may hold at once. Slots bound each process; this bounds the
/// broker's bookkeeping, delayed retries included.
const ACK_PENDING_MAX: u32 = 100_000;
/// The broker forgets a lane that was not asked for this long: longer than any retry delay.
pub(crate) const LANE_IDLE_MAX: Duration = Duration::from_secs(2 * 60 * 60);

/// Where the messages of a stage wait.
#[derive(Debug, Clone)]
pub struct Queue {
    /// The stream.
    pub stream: String,
    /// The subject prefix of its lanes: `dynode.work.sim`.
    pub base: String,
    /// The subject prefix of their bells: `dynode.bell.work.sim`.
    pub bells: String,
    /// The prefix of the consumers' names.
    pub name: String,
    /// Whether the lanes are `<priority>.own.<tenant>`, with nothing after it, and `<priority>.shared`, with the tenant
    /// after it; otherwise they are `<tenant>`, with more after it.
    pub classed: bool,
    /// How long a lease lasts.
    pub ack_wait: Duration,
    /// How long the broker remembers a lane that is not asked. Each lane costs the broker something at every ack; if it
    /// is forgotten too soon, messages under way are delivered once more.
    pub idle_max: Duration,
}

impl Queue {
    /// The queue of the messages under `path` (`work.sim`), whose lanes are tenants.
    pub fn of_tenants(subjects: &Subjects, stream: &str, path: &str, name: &str, ack_wait: Duration) -> Self {
        let (base, bells) = (subjects.queue(path), subjects.bells(path));
        Self {
            stream: stream.to_owned(),
            base,
            bells,
            name: name.to_owned(),
            classed: false,
            ack_wait,
            idle_max: LANE_IDLE_MAX,
        }
    }

    /// The same, with classes of tenants as lanes.
    pub fn of_classes(subjects: &Subjects, stream: &str, path: &str, name: &str, ack_wait: Duration) -> Self {
        Self { classed: true, ..Self::of_tenants(subjects, stream, path, name, ack_wait) }
    }

    /// The subjects of all its messages.
    pub fn pattern(&self) -> String {
        format!("{}.>", self.base)
    }

    /// The subjects of all its bells.
    pub fn bell_pattern(&self) -> String {
        format!("{}.>", self.bells)
    }

    /// The lane of a message; `None` if the subject is not of this queue.
    pub fn lane(&self, subject: &str) -> Option<Lane> {
        self.parse(subject.strip_prefix(&self.base)?)
    }

    /// The lane for which this bell rings.
    pub fn rung(&self, bell: &str) -> Option<Lane> {
        self.parse(bell.strip_prefix(&self.bells)?)
    }

    /// The consumer of a lane.
    pub fn consumer(&self, lane: &Lane) -> ConsumerSpec {
        let (class, own, shared) = (lane.class.as_str(), LaneKind::Own.as_str(), LaneKind::Shared.as_str());
        // The separator is part of no name, so no two lanes share a consumer.
        let (name, filter) = match &lane.tenant {
            Some(tenant) if self.classed => (
                format!("{}={class}={}", self.name, name_of(tenant)),
                format!("{}.{class}.{own}.{tenant}", self.base),
            ),
            Some(tenant) => {
                (format!("{}={}", self.name, name_of(tenant)), format!("{}.{tenant}.>", self.base))
            }
            None => (format!("{}={class}", self.name), format!("{}.{class}.{shared}.>", self.base)),
        };
        ConsumerSpec {
            stream: self.stream.clone(),
            name,
            filter,
            ack_wait: self.ack_wait,
            ack_pending_max: ACK_PENDING_MAX,
            idle_max: Some(self.idle_max),
        }
    }

    fn parse(&self, rest: &str) -> Option<Lane> {
        let mut tokens = rest.strip_prefix('.')?.split('.');
        if !self.classed {
            return Some(Lane::of_tenant(Priority::Standard, tokens.next()?));
        }
        let class = Priority::named(tokens.next()?)?;
        match tokens.next()? {
            kind if kind == LaneKind::Own.as_str() => Some(Lane::of_tenant(class, tokens.next()?)),
            kind if kind == LaneKind::Shared.as_str() => Some(Lane::shared(class)),
            _ => None,
        }
    }
}

/// `tenant` as part of a consumer's name: a publisher may write anything in the place of the tenant, and not all of it
/// is valid in a name.
fn name_of(tenant: &str) -> String {
    if Tenant::new(tenant).is_ok() {
        return tenant.to_owned();
    }
    let digest = Sha256::digest(tenant.as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("x={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(classed: bool) -> Queue {
        Queue {
            stream: "S".into(),
            base: "d.work.sim".into(),
            bells: "d.bell.work.sim".into(),
            name: "pool-sim".into(),
            classed,
            ack_wait: Duration::from_secs(20),
            idle_max: LANE_IDLE_MAX,
        }
    }

    #[test]
    fn a_lane_is_a_class_of_a_tenant() {
        let queue = queue(true);
        let lane = queue.lane("d.work.sim.batch.own.acme").unwrap();
        assert_eq!(lane, Lane::of_tenant(Priority::Batch, "acme"));
        assert_eq!(queue.rung("d.bell.work.sim.batch.own.acme"), Some(lane.clone()));
        let consumer = queue.consumer(&lane);
        assert_eq!(
            (consumer.name.as_str(), consumer.filter.as_str()),
            ("pool-sim=batch=acme", "d.work.sim.batch.own.acme")
        );
        assert_eq!(queue.lane("d.work.similar.batch.own.acme"), None);
        assert_eq!(queue.lane("d.work.sim.urgent.own.acme"), None);
        assert_eq!(queue.lane("d.work.sim.batch.acme"), None);
    }

    #[test]
    fn a_lane_is_shared_by_all_tenants_of_a_class() {
        let queue = queue(true);
        let lane = queue.lane("d.work.sim.batch.shared.acme").unwrap();
        assert_eq!(lane, Lane::shared(Priority::Batch));
        assert_eq!(queue.rung("d.bell.work.sim.batch.shared.globex"), Some(lane.clone()));
        let consumer = queue.consumer(&lane);
        assert_eq!(
            (consumer.name.as_str(), consumer.filter.as_str()),
            ("pool-sim=batch", "d.work.sim.batch.shared.>")
        );
    }

    #[test]
    fn a_lane_is_a_tenant_where_there_are_no_classes() {
        let queue = queue(false);
        let lane = queue.lane("d.work.sim.acme.id-1").unwrap();
        assert_eq!(lane, Lane::of_tenant(Priority::Standard, "acme"));
        assert_eq!(queue.consumer(&lane).filter, "d.work.sim.acme.>");
    }

    #[test]
    fn no_two_lanes_share_a_consumer() {
        let queue = queue(false);
        let name = |tenant: &str| queue.consumer(&Lane::of_tenant(Priority::Standard, tenant)).name;
        let long = "x".repeat(300);
        let names = ["a", "a-b", "ä", "a=b", "x", long.as_str()].map(name);
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(names.iter().all(|name| name.len() < 200 && name.is_ascii()), "{names:?}");
    }
}
