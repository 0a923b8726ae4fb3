//! The only public handle of the engine: start it, hear when it fails, drain it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use adapters::Registry;
use broker::{AssetLimits, Broker, Objects, Seams, Topology};
use futures_util::FutureExt;
use ractor::{Actor, ActorRef};
use schemas::{Parents, Tenant};
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    BudgetConfig, CallbackConfig, EngineConfig, ProviderLimits, RuleConfig, Waterfalls,
    budgets::Budgets,
    classifier::{BadRule, Classifier, Judge},
    closings::Closings,
    config::Providers,
    control::Control,
    delivery::{
        Delivery,
        courier::{Courier, Web},
    },
    governor::{self, Clerk, Governor, Retries},
    heartbeat::Heart,
    measured::Measured,
    metrics::Metrics,
    outbox::Outbox,
    pool::{self, Pool},
    pressure::{Band, Pressure},
    provider::{Flights, Governors, ProviderStage, Shared, Store, Webhooks},
    queue::Queue,
    stage::{Runner, Stage},
    strays::Strays,
    supervisor::{Child, Message, Supervisor},
    vitals::{PoolVitals, Vitals},
};

/// How long handing back work may take.
const HAND_BACK_TIME: Duration = Duration::from_secs(5);

/// The parts of an engine.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Carries everything.
    pub broker: Arc<dyn Broker>,
    /// The streams, which exist.
    pub topology: Topology,
    /// The providers.
    pub registry: Arc<Registry>,
    /// The limits of each provider.
    pub providers: Providers,
    /// How large the files that providers make may be, and how long they are kept.
    pub assets: AssetLimits,
    /// Which models are tried one after the other.
    pub waterfalls: Waterfalls,
    /// Where providers reach the gateways, for webhooks.
    pub public_url: Option<String>,
    /// The budgets of tenants.
    pub budgets: Vec<BudgetConfig>,
    /// The parents of tenants.
    pub parents: BTreeMap<Tenant, Parents>,
    /// Time and randomness.
    pub seams: Seams,
    /// The name of this engine, unique on its broker: a subject token.
    pub node: String,
}

/// The engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule is invalid.
    #[error(transparent)]
    Rule(#[from] BadRule),
    /// The HTTP client for callbacks cannot be built.
    #[error("no HTTP client for callbacks: {0}")]
    Client(#[from] reqwest::Error),
    /// The store of assets, or the keys of the installation, cannot be opened.
    #[error("cannot open the store of assets and keys: {0}; its size is assets.store_bytes_max")]
    Store(#[from] broker::Error),
    /// An actor did not start.
    #[error("an actor did not start: {0}")]
    Spawn(#[from] ractor::SpawnErr),
}

/// A running engine.
#[derive(Debug)]
pub struct System {
    supervisor: ActorRef<Message>,
    supervising: JoinHandle<()>,
    listening: [JoinHandle<()>; 2],
    stop: CancellationToken,
    hand_back: CancellationToken,
    vitals: Arc<Vitals>,
    slots: Vec<(Arc<Semaphore>, u32)>,
    budgets: Arc<Budgets>,
    /// Heartbeats, signals, budgets, strays: tasks that end with the engine, after its drain.
    _signs: JoinSet<()>,
}

impl Drop for System {
    fn drop(&mut self) {
        self.listening.iter().for_each(JoinHandle::abort);
        self.supervisor.kill();
    }
}

impl System {
    /// Starts every actor.
    pub async fn start(
        engine: EngineConfig,
        rules: &[RuleConfig],
        callbacks: CallbackConfig,
        parts: Parts,
    ) -> Result<Self, Error> {
        let courier = Arc::new(Web::new(&callbacks)?);
        Self::start_with(engine, rules, callbacks, parts, courier).await
    }

    /// Starts every actor, with callbacks carried by `courier`: a simulation has no network.
    pub async fn start_with(
        engine: EngineConfig,
        rules: &[RuleConfig],
        callbacks: CallbackConfig,
        parts: Parts,
        courier: Arc<dyn Courier>,
    ) -> Result<Self, Error> {
        let metrics = Arc::new(Metrics::default());
        let (broker, spec) = (Arc::clone(&parts.broker), parts.topology.assets(&parts.assets));
        let objects = Objects::open(broker, spec, parts.seams.clone()).await?;
        let outbox = Outbox::new(Arc::clone(&parts.broker), Arc::new(parts.topology), parts.seams);
        let webhooks = match &parts.public_url {
            Some(base) => Some(Webhooks::open(base, outbox.clone()).await?),
            None => None,
        };
        let control = Arc::new(Control::new(outbox.clone()));
        let governors = Arc::new(Governors::default());
        let keys = |name: &String| parts.registry.adapter(name).map_or(1, |adapter| adapter.keys());
        let known = parts.providers.keys().map(|name| (name.clone(), keys(name))).collect();
        let closings = Arc::new(Closings::new(outbox.clone(), Arc::clone(&governors), known));
        let listening = [control.listen(), closings.listen()];

        let (node, metrics_of_budgets) = (parts.node.clone(), Arc::clone(&metrics));
        let budgets =
            Arc::new(Budgets::new(&parts.budgets, parts.parents, &outbox, node, metrics_of_budgets));
        let measured = Arc::new(Measured::default());
        let settings = (&engine, rules, &callbacks);
        let registry = Arc::clone(&parts.registry);
        let judge = Judge::new(settings, registry, parts.waterfalls, Arc::clone(&measured))?;
        let classifier = Classifier::new(judge, Arc::clone(&control), outbox.clone(), engine.clone());
        let delivery =
            Delivery::new(callbacks, courier, outbox.clone(), engine.clone(), Arc::clone(&metrics));
        let shared = Arc::new(Shared {
            registry: parts.registry,
            governors,
            budgets: Arc::clone(&budgets),
            closings,
            control,
            outbox: outbox.clone(),
            engine: engine.clone(),
            metrics: Arc::clone(&metrics),
            assets: Store { objects, limits: parts.assets },
            webhooks,
            measured: Arc::clone(&measured),
            flights: Flights::default(),
        });

        let mut tree = Tree {
            engine,
            outbox,
            metrics,
            stop: CancellationToken::new(),
            hand_back: CancellationToken::new(),
            watched: Vec::new(),
            children: Vec::new(),
            slots: Vec::new(),
        };
        for (provider, limits) in &parts.providers {
            tree.governor(provider, *limits, &parts.node, &shared);
        }
        tree.pool(Arc::new(classifier), tree.engine.classifier_concurrency);
        for (provider, limits) in &parts.providers {
            let stage = ProviderStage::new(provider.clone(), Arc::clone(&shared));
            tree.pool(Arc::new(stage), limits.concurrency);
        }
        tree.pool(Arc::new(delivery), tree.engine.delivery_concurrency);

        for ((pool, _), (slots, _)) in tree.watched.iter().zip(&tree.slots) {
            measured.watch(pool, slots);
        }
        let vitals = Arc::new(Vitals::new(tree.watched.iter().map(|(pool, _)| Arc::clone(pool)).collect()));
        let governors = Arc::clone(&shared.governors);
        let pools = parts.providers.keys().cloned().collect();
        let strays = Strays::new(shared, pools, tree.hand_back.clone());
        let mut signs = tree.signs(parts.node, parts.providers.into_keys(), governors);
        signs.spawn(strays.run());
        let keeping = Arc::clone(&budgets);
        signs.spawn(async move { keeping.keep().await });
        let Tree { children, metrics, stop, hand_back, slots, .. } = tree;
        let (supervisor, supervising) = Actor::spawn(None, Supervisor, (children, metrics)).await?;
        let _signs = signs;
        Ok(Self { supervisor, supervising, listening, stop, hand_back, vitals, slots, budgets, _signs })
    }

    /// Resolves when the engine has given up: too many of its actors died.
    pub async fn failed(&mut self) {
        // The supervisor logged the reason when it ended.
        let _ = (&mut self.supervising).await;
    }

    /// What the workers are doing, for a watcher outside the runtime.
    pub fn vitals(&self) -> Arc<Vitals> {
        Arc::clone(&self.vitals)
    }

    /// Takes no new work, lets running work finish within `limit`, hands the rest back, and ends. Returns whether all
    /// of it finished.
    pub async fn drain(self, limit: Duration) -> bool {
        self.end(sleep(limit)).await
    }

    /// The same for an engine that another has replaced: running work has all the time that it needs, until `hurry` is
    /// cancelled, and `limit` from then on.
    pub async fn retire(self, hurry: CancellationToken, limit: Duration) -> bool {
        self.end(async {
            hurry.cancelled().await;
            sleep(limit).await;
        })
        .await
    }

    async fn end(self, patience: impl Future<Output = ()>) -> bool {
        self.stop.cancel();
        let finished = tokio::select! {
            biased;
            () = self.idle() => true,
            () = patience => false,
        };
        if !finished {
            warn!("work is still running; it is handed back and goes on elsewhere");
            self.hand_back.cancel();
            // Other engines find work that cannot be handed back now when its lease has expired.
            let _ = timeout(HAND_BACK_TIME, self.idle()).await;
        }
        self.supervisor.kill();
        self.budgets.close().await;
        finished
    }

    /// Waits until every slot of every pool is free.
    async fn idle(&self) {
        for (slots, count) in &self.slots {
            // The semaphores are never closed; if they were, nothing would be at work either.
            let _ = slots.acquire_many(*count).await;
        }
    }
}

/// The supervision tree under construction.
struct Tree {
    engine: EngineConfig,
    outbox: Outbox,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    hand_back: CancellationToken,
    watched: Vec<(Arc<PoolVitals>, Queue)>,
    children: Vec<Child>,
    slots: Vec<(Arc<Semaphore>, u32)>,
}

impl Tree {
    fn governor(&mut self, provider: &str, limits: ProviderLimits, node: &str, shared: &Arc<Shared>) {
        let governors = Arc::clone(&shared.governors);
        let (seams, metrics) = (self.outbox.seams().clone(), Arc::clone(&self.metrics));
        let (provider, retries) = (provider.to_owned(), Retries::default());
        let keys = shared.registry.adapter(&provider).map_or(1, |adapter| adapter.keys());
        let name = format!("governor {provider}");
        let bucket = self.outbox.topology().leases.clone();
        let clerk = Some(Clerk::new(self.outbox.broker(), bucket, provider.clone(), node.to_owned()));
        let arguments = governor::Arguments { provider, limits, keys, seams, metrics, retries, clerk };
        let start = move |supervisor| {
            let (arguments, governors) = (arguments.clone(), Arc::clone(&governors));
            let (provider, retries) = (arguments.provider.clone(), arguments.retries.clone());
            async move {
                let (governor, _) = Actor::spawn_linked(None, Governor, arguments, supervisor).await?;
                governors.set(&provider, Governor::handle(governor.clone(), retries));
                Ok(governor.get_cell())
            }
            .boxed()
        };
        self.children.push(Child { name, start: Arc::new(start) });
    }

    fn pool(&mut self, stage: Arc<dyn Stage>, concurrency: u32) {
        let concurrency = concurrency.max(1);
        let name = format!("pool {}", stage.name());
        let slots = Arc::new(Semaphore::new(concurrency as usize));
        let vitals = Arc::new(PoolVitals::new(stage.name().to_owned(), concurrency));
        self.watched.push((Arc::clone(&vitals), stage.queue()));
        let (outbox, metrics) = (self.outbox.clone(), Arc::clone(&self.metrics));
        let runner = Runner::new(stage, outbox, metrics, self.engine.lease(), self.hand_back.clone());
        let arguments = pool::Arguments {
            runner: Arc::new(runner),
            broker: self.outbox.broker(),
            slots: Arc::clone(&slots),
            stop: self.stop.clone(),
            metrics: Arc::clone(&self.metrics),
            vitals,
        };
        let start = move |supervisor| {
            let arguments = arguments.clone();
            async move {
                let (pool, _) = Actor::spawn_linked(None, Pool, arguments, supervisor).await?;
                Ok(pool.get_cell())
            }
            .boxed()
        };
        self.children.push(Child { name, start: Arc::new(start) });
        self.slots.push((slots, concurrency));
    }

    /// Starts to publish how the pools are, and to ask for a pause if `providers` need one.
    fn signs(
        &mut self,
        node: String,
        providers: impl Iterator<Item = String>,
        governors: Arc<Governors>,
    ) -> JoinSet<()> {
        let (broker, subjects) = (self.outbox.broker(), self.outbox.topology().subjects.clone());
        let EngineConfig { pause_wait_ms, resume_wait_ms, .. } = self.engine;
        let band = Band { pause_wait_ms, resume_wait_ms };
        let pressure = Pressure::new(node.clone(), band, broker, subjects, providers);
        let pools = std::mem::take(&mut self.watched);
        let (every, metrics) = (self.engine.heartbeat(), Arc::clone(&self.metrics));
        let heart = Heart { node, every, outbox: self.outbox.clone(), pools, governors, metrics };
        let mut signs = JoinSet::new();
        signs.spawn(pressure.run());
        signs.spawn(heart.run());
        signs
    }
}
