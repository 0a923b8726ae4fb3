//! Where the work is done: by actors in this process, or by processes beside it. One handle for both, so that the life of
//! the program reads the same.

use std::{
    env,
    sync::{Arc, Weak},
    time::Duration,
};

use actors::{ProviderLimits, System, Vitals};
use adapters::{ProviderConfig, Registry};
use broker::{Broker, Seams, Topology};
use futures_util::future::BoxFuture;
use gateway::Standing;
use parking_lot::Mutex;
use schemas::{InvalidToken, Secret, Subjects};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    fleet::{self, Fleet, health::Limits, roster::Roster},
    telemetry::{self, RenderMetrics},
};

/// How much longer than `engine.drain_ms` a worker process may take to end: it hands back what did not finish, which may
/// take five seconds, and closes its connection, which may take three.
const DRAIN_GRACE: Duration = Duration::from_secs(8);

/// What an engine stands on besides its broker: the same here and in a worker process.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    /// The providers.
    pub(crate) registry: Arc<Registry>,
    /// Streams and subjects.
    pub(crate) topology: Topology,
    /// Time and randomness.
    pub(crate) seams: Seams,
}

/// Makes the Prometheus text of this process and of its worker processes.
type AllMetrics = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// A running engine.
#[derive(Debug)]
pub(crate) enum Engine {
    /// In this process.
    Here {
        /// The one that takes new work.
        system: Box<System>,
        /// Those whose place it took, until they have finished.
        retiring: JoinSet<()>,
        /// Cancelled when they must come to an end.
        hurry: CancellationToken,
        /// What the workers of all of them are at.
        vitals: Watched,
    },
    /// In worker processes.
    Beside(Fleet),
}

/// What the workers of every engine in this process are at, as long as it lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<Vec<Weak<Vitals>>>>);

impl Watched {
    /// Watches one more.
    pub(crate) fn add(&self, vitals: &Arc<Vitals>) {
        let mut all = self.0.lock();
        all.retain(|vitals| vitals.strong_count() > 0);
        all.push(Arc::downgrade(vitals));
    }

    /// How many workers are overdue by more than `grace`.
    pub(crate) fn stuck(&self, grace: Duration) -> usize {
        self.all().iter().map(|vitals| vitals.stuck(grace)).sum()
    }

    /// What a person must look at.
    pub(crate) fn alarms(&self) -> Vec<String> {
        self.all().iter().flat_map(|vitals| vitals.alarms()).collect()
    }

    fn all(&self) -> Vec<Arc<Vitals>> {
        self.0.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

impl Ground {
    /// What the configuration describes, with the providers that were made of it.
    pub(crate) fn of(config: &Config, registry: Arc<Registry>) -> Result<Self, InvalidToken> {
        let topology = Topology::new(Subjects::new(&config.prefix)?).within(&config.stream_limits());
        let topology = if config.ledger.keep_days == 0 { topology.without_ledger() } else { topology };
        Ok(Self { registry, topology, seams: Seams::system() })
    }

    /// A name that no other process on the same broker has.
    pub(crate) fn node(&self) -> String {
        format!("n{:016x}", self.seams.random.next_u64())
    }

    /// Starts the actors in this process.
    pub(crate) async fn start(
        &self,
        config: &Config,
        node: String,
        broker: &Arc<dyn Broker>,
    ) -> Result<System, actors::Error> {
        let parts = actors::Parts {
            broker: Arc::clone(broker),
            topology: self.topology.clone(),
            registry: Arc::clone(&self.registry),
            providers: config
                .providers
                .iter()
                .map(|(name, provider)| (name.clone(), limits(provider)))
                .collect(),
            assets: config.assets.limits(),
            waterfalls: config.waterfalls.clone(),
            public_url: Some(config.gateway.public_url.clone()).filter(|url| !url.is_empty()),
            budgets: config.budgets.clone(),
            parents: config.parents(),
            seams: self.seams.clone(),
            node,
        };
        System::start(config.engine.clone(), &config.classifier.rules, config.callbacks.clone(), parts).await
    }
}

impl Engine {
    /// Starts the actors in this process.
    pub(crate) async fn here(
        config: &Config,
        ground: &Ground,
        broker: &Arc<dyn Broker>,
    ) -> Result<Self, actors::Error> {
        let system = Box::new(ground.start(config, ground.node(), broker).await?);
        let vitals = Watched::default();
        vitals.add(&system.vitals());
        Ok(Self::Here { system, retiring: JoinSet::new(), hurry: CancellationToken::new(), vitals })
    }

    /// Goes on by other settings: a new engine takes new work, the one before finishes what it has; worker processes are
    /// replaced one after the other.
    pub(crate) async fn renew(
        &mut self,
        config: &Config,
        ground: &Ground,
        broker: &Arc<dyn Broker>,
        settings: impl FnOnce() -> serde_json::Result<Secret>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Here { system, retiring, hurry, vitals } => {
                let successor = Box::new(ground.start(config, ground.node(), broker).await?);
                vitals.add(&successor.vitals());
                let retired = std::mem::replace(system, successor);
                let (hurry, limit) = (hurry.clone(), Duration::from_millis(config.engine.drain_ms));
                // If this task died the work of the old engine would be found by the new one when its leases run out.
                retiring.spawn(async move {
                    // Whether all of it finished was logged there.
                    let _ = retired.retire(hurry, limit).await;
                });
                while retiring.try_join_next().is_some() {}
            }
            Self::Beside(fleet) => fleet.renew(settings()?),
        }
        Ok(())
    }

    /// Starts worker processes with `settings`, the line that is handed down to each.
    pub(crate) fn beside(
        config: &Config,
        ground: &Ground,
        broker: &Arc<dyn Broker>,
        settings: Secret,
    ) -> std::io::Result<Self> {
        Ok(Self::Beside(Fleet::start(fleet::Parts {
            workers: config.workers,
            program: env::current_exe()?,
            node: ground.node(),
            settings,
            broker: Arc::clone(broker),
            subjects: ground.topology.subjects.clone(),
            limits: Limits {
                silence: Duration::from_millis(config.watchdog.silence_kill_ms),
                disconnect: Duration::from_millis(config.watchdog.disconnect_kill_ms),
            },
            drain_max: Duration::from_millis(config.engine.drain_ms) + DRAIN_GRACE,
            seams: ground.seams.clone(),
        })))
    }

    /// What the workers of this process are at; those of other processes are watched there.
    pub(crate) fn vitals(&self) -> Watched {
        match self {
            Self::Here { vitals, .. } => vitals.clone(),
            Self::Beside(_) => Watched::default(),
        }
    }

    /// Renders the metrics `own` of this process and those of its worker processes.
    pub(crate) fn metrics(&self, own: RenderMetrics) -> AllMetrics {
        let roster = self.roster();
        Arc::new(move || {
            let (own, roster) = (Arc::clone(&own), roster.clone());
            Box::pin(async move {
                let Some(roster) = roster else { return own() };
                let workers = roster.metrics().await;
                telemetry::merge(&[vec![own()], workers].concat())
            })
        })
    }

    /// How those are who do the work; an engine in this process lives and dies with it.
    pub(crate) fn standing(&self) -> Arc<dyn Fn() -> Standing + Send + Sync> {
        let (roster, vitals) = (self.roster(), self.vitals());
        Arc::new(move || match &roster {
            Some(roster) => roster.standing(),
            None => Standing { unready: Vec::new(), alarms: vitals.alarms() },
        })
    }

    fn roster(&self) -> Option<Arc<Roster>> {
        match self {
            Self::Here { .. } => None,
            Self::Beside(fleet) => Some(fleet.roster()),
        }
    }

    /// Resolves when the engine has given up, which worker processes never do all at once.
    pub(crate) async fn failed(&mut self) {
        match self {
            Self::Here { system, .. } => system.failed().await,
            Self::Beside(_) => std::future::pending().await,
        }
    }

    /// Takes no new work, lets running work finish within `limit`, hands the rest back, and ends.
    pub(crate) async fn drain(self, limit: Duration) {
        match self {
            Self::Here { system, mut retiring, hurry, .. } => {
                hurry.cancel();
                let retired = async { while retiring.join_next().await.is_some() {} };
                tokio::join!(system.drain(limit), retired);
            }
            Self::Beside(fleet) => fleet.drain().await,
        }
    }
}

fn limits(provider: &ProviderConfig) -> ProviderLimits {
    ProviderLimits {
        concurrency: provider.concurrency,
        requests_per_minute: provider.requests_per_minute,
        tokens_per_minute: provider.tokens_per_minute,
        adaptive: provider.adaptive_or_default(),
        key_rest: Duration::from_millis(provider.key_rest_ms),
    }
}
