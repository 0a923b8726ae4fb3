//! Publishes how each pool of this node is, every few seconds, on `dynode.hb.<node>.<pool>`. It only reports: its
//! subscribers decide what follows.

use std::{sync::Arc, time::Duration};

use broker::{Link, Message};
use futures_util::future::join_all;
use schemas::{Format, Heartbeat, VERSION};
use tokio::time::{self, MissedTickBehavior, timeout};
use tracing::debug;

use crate::{metrics::Metrics, outbox::Outbox, provider::Governors, queue::Queue, vitals::PoolVitals};

/// How long the broker may take to report the backlog; a beat without it is better than a late one.
const BACKLOG_TIMEOUT: Duration = Duration::from_millis(500);

/// The heart of one node.
#[derive(Debug)]
pub struct Heart {
    /// The node's name in subjects.
    pub node: String,
    /// The time between two beats.
    pub every: Duration,
    /// Where to publish.
    pub outbox: Outbox,
    /// The pools, each with its queue.
    pub pools: Vec<(Arc<PoolVitals>, Queue)>,
    /// The governors, whose state the heartbeats report.
    pub governors: Arc<Governors>,
    /// Where the governors' state is counted too.
    pub metrics: Arc<Metrics>,
}

impl Heart {
    /// Beats until dropped. If this task dies, subscribers take the node for dead and its parent ends it: better than a
    /// node wrongly believed alive.
    pub async fn run(self) {
        let mut ticks = time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            join_all(self.pools.iter().map(|(vitals, queue)| self.beat(vitals, queue))).await;
        }
    }

    async fn beat(&self, vitals: &PoolVitals, queue: &Queue) {
        let connected = matches!(*self.outbox.broker().link().borrow(), Link::Up);
        let held = if connected { self.held(queue).await } else { None };
        let governing = match self.governors.get(vitals.name()) {
            Some(governor) => governor.look().await,
            None => None,
        };
        if let Some(governing) = &governing {
            self.metrics.governing(vitals.name(), governing);
        }
        let look = vitals.look();
        let beat = Heartbeat {
            v: VERSION,
            node: self.node.clone(),
            worker: vitals.name().to_owned(),
            pid: std::process::id(),
            connected,
            every_ms: u64::try_from(self.every.as_millis()).unwrap_or(u64::MAX),
            slots: vitals.slots(),
            queue: held.map(|held| held.saturating_sub(look.inflight)),
            inflight: look.inflight,
            last_progress_ms: look.last_progress_ms,
            average_job_ms: look.average_job_ms,
            governing,
            at: self.outbox.seams().clock.now(),
        };
        vitals.set_alarms(beat.alarms());
        let subject = self.outbox.topology().subjects.heartbeat(&self.node, vitals.name());
        // Numbers and strings always encode.
        let Ok(payload) = Format::Json.encode(&beat) else { return };
        if let Err(error) = self.outbox.broker().send(Message::new(subject, Format::Json, payload)).await {
            debug!(%error, pool = vitals.name(), "heartbeat not sent");
        }
    }

    /// How many messages the broker holds for a pool: waiting, or at work.
    async fn held(&self, queue: &Queue) -> Option<u64> {
        let (broker, pattern) = (self.outbox.broker(), queue.pattern());
        let asked = timeout(BACKLOG_TIMEOUT, broker.subjects(&queue.stream, &pattern)).await;
        let subjects =
            asked.ok()?.inspect_err(|error| debug!(%error, pattern, "what waits is not known")).ok()?;
        Some(subjects.iter().map(|(_, messages)| messages).sum())
    }
}
