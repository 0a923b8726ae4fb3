//! Runs the engine: as actors in this process or as worker processes beside it. One handle covers both, so that
//! the rest of the program treats them alike.

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

/// How much longer than `engine.drain_ms` a worker process may take to end: up to five seconds to hand back unfinished
/// work, and up to three to close its connection.
const DRAIN_GRACE: Duration = Duration::from_secs(8);

/// What an engine needs besides its broker: the same here and in a worker process.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    /// The providers.
    pub(crate) registry: Arc<Registry>,
    /// Streams and subjects.
    pub(crate) topology: Topology,
    /// Time and randomness.
    pub(crate) seams: Seams,
}

/// Renders the Prometheus text of this process and of its worker processes.
type AllMetrics = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// A running engine.
#[derive(Debug)]
pub(crate) enum Engine {
    /// In this process.
    Here {
        /// The system that takes new work.
        system: Box<System>,
        /// The systems that it replaced, until they have finished.
        retiring: JoinSet<()>,
        /// Cancelled when the replaced systems must end.
        hurry: CancellationToken,
        /// The vitals of all of them.
        vitals: Watched,
    },
    /// In worker processes.
    Beside(Fleet),
}

/// The vitals of every engine in this process, for as long as the engine lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<Vec<Weak<Vitals>>>>);

impl Watched {
    /// Watches one more engine.
    pub(crate) fn add(&self, vitals: &Arc<Vitals>) {
        let mut all = self.0.lock();
        all.retain(|vitals| vitals.strong_count() > 0);
        all.push(Arc::downgrade(vitals));
    }

    /// How many workers are overdue by more than `grace`.
    pub(crate) fn stuck(&self, grace: Duration) -> usize {
        self.all().iter().map(|vitals| vitals.stuck(grace)).sum()
    }

    /// What needs a person's attention.
    pub(crate) fn alarms(&self) -> Vec<String> {
        self.all().iter().flat_map(|vitals| vitals.alarms()).collect()
    }

    fn all(&self) -> Vec<Arc<Vitals>> {
        self.0.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

impl Ground {
    /// The topology of `config`, with the providers made from it.
    pub(crate) fn of(config: &Config, registry: Arc<Registry>) -> Result<Self, InvalidToken> {
        let topology = Topology::new(Subjects::new(&config.prefix)?).within(&config.stream_limits());
        let topology = if config.ledger.keep_days == 0 { topology.without_ledger() } else { topology };
        Ok(Self { registry, topology, seams: Seams::system() })
    }

    /// A node name that no other process on the same broker has.
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

    /// Switches to new settings: a new engine takes new work while the old one finishes its own; worker processes are
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
                // If this task dies, the new engine gets the old one's work once its leases expire.
                retiring.spawn(async move {
                    // `retire` itself logs whether all work finished.
                    let _ = retired.retire(hurry, limit).await;
                });
                while retiring.try_join_next().is_some() {}
            }
            Self::Beside(fleet) => fleet.renew(settings()?),
        }
        Ok(())
    }

    /// Starts worker processes with `settings`, the line that each of them is handed.
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

    /// The vitals of this process's workers; worker processes watch their own.
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

    /// The standing of the workers; an in-process engine lives and dies with the process.
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

    /// Resolves when the engine has given up; worker processes never do so all at once.
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
