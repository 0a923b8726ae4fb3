//! In which lanes work is.

use std::collections::BTreeMap;

use super::Engine;

impl Engine {
    /// How much work waits or is at work in each lane: `shared`, or `own` with the tenant.
    pub(crate) async fn work_by_lane(&self) -> BTreeMap<String, u64> {
        let held = self.broker.subjects(&self.topology.work, ">").await.unwrap();
        let mut by_lane = BTreeMap::new();
        for (subject, messages) in held {
            let lane: Vec<&str> = subject.split('.').skip(4).collect();
            let lane = if lane[0] == "shared" { "shared".to_owned() } else { lane.join(".") };
            *by_lane.entry(lane).or_default() += messages;
        }
        by_lane
    }
}
