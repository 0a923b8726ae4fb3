//! Ends work that waits for a provider which no engine has, such as one removed from the configuration: like all work,
//! it ends by its deadline. A provider whose pool sends heartbeats anywhere has an engine, and its work is left alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use broker::{Broker, Error, Lease, Settle, Settlement, Stored};
use futures_util::StreamExt;
use schemas::{Work, outcome::milliseconds};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    progress::Progress,
    provider::{ProviderStage, Shared},
    stage::{Held, Return, Runner, Stage},
};

/// How often to look for stray work.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// A pool that misses this many heartbeats has no engine.
const BEATS_MISSED: u32 = 5;

/// Ends work that nobody else ends.
#[derive(Debug)]
pub(crate) struct Strays {
    shared: Arc<Shared>,
    /// The pools that this engine has.
    pools: BTreeSet<String>,
    hand_back: CancellationToken,
}

/// Settles work in place, in a stream from which no consumer delivered it: an ack removes it there.
struct InPlace {
    broker: Arc<dyn Broker>,
    stream: String,
    sequence: u64,
}

impl Strays {
    /// Looks for work of all pools except `pools`.
    pub(crate) const fn new(
        shared: Arc<Shared>,
        pools: BTreeSet<String>,
        hand_back: CancellationToken,
    ) -> Self {
        Self { shared, pools, hand_back }
    }

    /// Looks until dropped.
    pub(crate) async fn run(self) {
        loop {
            sleep(LOOK_EVERY).await;
            if let Err(error) = self.look().await {
                debug!(%error, "it is not known what waits for providers that nobody has");
            }
        }
    }

    async fn look(&self) -> Result<(), Error> {
        let (broker, topology) = (self.shared.outbox.broker(), self.shared.outbox.topology());
        let mut foreign = BTreeMap::<String, Vec<String>>::new();
        for (subject, _) in broker.subjects(&topology.work, &topology.subjects.all("work")).await? {
            match topology.subjects.parse_pool(&subject) {
                Some(pool) if !self.pools.contains(pool) => {
                    foreign.entry(pool.to_owned()).or_default().push(subject);
                }
                _ => {}
            }
        }
        for (pool, subjects) in foreign {
            if !self.has_engine(&pool).await? {
                for subject in subjects {
                    self.end_overdue(&pool, &subject).await?;
                }
            }
        }
        Ok(())
    }

    async fn has_engine(&self, pool: &str) -> Result<bool, Error> {
        let subjects = &self.shared.outbox.topology().subjects;
        let mut beats = self.shared.outbox.broker().subscribe(&subjects.heartbeat("*", pool)).await?;
        let silence = self.shared.engine.heartbeat() * BEATS_MISSED;
        Ok(timeout(silence, beats.next()).await.is_ok())
    }

    async fn end_overdue(&self, pool: &str, subject: &str) -> Result<(), Error> {
        let (broker, topology) = (self.shared.outbox.broker(), self.shared.outbox.topology());
        let mut waiting = broker.replay(&topology.work, subject, 0).await?;
        let mut count = 0_u64;
        while let Some(stored) = waiting.next().await {
            let stored = stored?;
            if self.is_overdue(&stored) && self.end(pool, stored).await {
                count += 1;
            }
        }
        if count > 0 {
            warn!(subject, count, "work was ended by its deadline: no engine has its provider");
        }
        Ok(())
    }

    /// Whether the deadline passed so long ago that any worker on it would have ended it. Unreadable work is never
    /// overdue: it may be for a newer engine.
    fn is_overdue(&self, stored: &Stored) -> bool {
        let work = stored.message.format().decode::<Work>(&stored.message.payload);
        work.is_ok_and(|work| {
            let late = milliseconds(work.deadline, self.shared.outbox.now());
            Duration::from_millis(late) > self.shared.engine.lease()
        })
    }

    /// Ends one message as its pool would; `false` if its subject belongs to no lane, so that its tenant is unknown.
    async fn end(&self, pool: &str, stored: Stored) -> bool {
        let stage = ProviderStage::new(pool.to_owned(), Arc::clone(&self.shared));
        let (queue, broker) = (stage.queue(), self.shared.outbox.broker());
        let (Some(lane), Ok(slot)) =
            (queue.lane(&stored.message.subject), Arc::new(Semaphore::new(1)).try_acquire_owned())
        else {
            return false;
        };
        let (link, account) = (broker.link(), Return { lane, estimate: 0.0, cost: None, again: None });
        let place = InPlace { broker, stream: queue.stream, sequence: stored.sequence };
        let mut lease = Lease::new(stored.message, stored.sequence, 1, Arc::new(place));
        lease.stored_at = stored.stored_at;
        // Nobody reads the report.
        let (back, _) = mpsc::channel(1);
        let (outbox, metrics) = (self.shared.outbox.clone(), Arc::clone(&self.shared.metrics));
        let runner =
            Runner::new(Arc::new(stage), outbox, metrics, self.shared.engine.lease(), self.hand_back.clone());
        runner.run(Held::new(lease, slot, account, back, link), &Progress::default()).await;
        true
    }
}

#[async_trait]
impl Settle for InPlace {
    async fn settle(&self, settlement: Settlement) -> Result<(), Error> {
        match settlement {
            Settlement::Ack | Settlement::Reject => self.broker.remove(&self.stream, self.sequence).await,
            // The message is still in the stream.
            Settlement::RetryAfter(_) | Settlement::Renew => Ok(()),
        }
    }
}
