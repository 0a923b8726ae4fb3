//! An engine on a memory broker of its own, and the few questions that tests ask it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod lanes;
mod ledger;
pub(crate) mod scripted;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actors::{
    BudgetConfig, CallbackConfig, EngineConfig, Parts, ProviderLimits, Providers, RuleConfig, System,
    Waterfalls, budgets::Remaining, classifier::FRESH, fair::Lane, queue::Queue,
};
use adapters::{Adapter, Call, Finished, Model, Progress, Progressed, ProviderConfig, Registry};
use async_trait::async_trait;
use broker::{
    AssetLimits, Broker, Headers, Limits, Message, Publication, Seams, Stored, Subscription, Topology,
    memory::{Fault, FaultClass, Memory, Options, Reach, Rule},
    message::MESSAGE_ID,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use schemas::{
    Action, ChatDelta, ChatOutput, DeadLetter, Event, EventBody, Format, LaneKind, Outcome, Output, Plan,
    Priority, Request, RequestId, Step, Subjects, Tenant, Usage, Work, work::WireFormat,
};
use serde_json::{Value, json};

/// No test waits longer than this, in virtual time.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The largest file that providers may make here.
pub(crate) const ASSET_BYTES_MAX: u64 = 1_000_000;
const ASSET_STORE_BYTES_MAX: u64 = 8 << 20;

/// A store that can be filled.
pub(crate) fn asset_limits() -> AssetLimits {
    AssetLimits {
        bytes_max: ASSET_BYTES_MAX,
        store_bytes_max: ASSET_STORE_BYTES_MAX,
        ..AssetLimits::default()
    }
}

pub(crate) struct Engine {
    broker: Arc<dyn Broker>,
    /// The same, for its faults.
    memory: Memory,
    topology: Topology,
    seams: Seams,
    registry: Registry,
    providers: Providers,
    budgets: Vec<BudgetConfig>,
    /// None while it stands still.
    system: Option<System>,
    /// Further engines on the same broker.
    others: Vec<System>,
}

/// A chat request with this id; `more` goes into the payload.
pub(crate) fn chat(id: &str, more: Value) -> Value {
    let mut payload =
        json!({"model": "fast", "messages": [{"role": "user", "content": "one two three four"}]});
    let mut request = json!({"id": id});
    for (name, value) in more.as_object().unwrap() {
        match name.as_str() {
            "deadline_ms" => request[name] = value.clone(),
            _ => payload[name] = value.clone(),
        }
    }
    request["payload"] = payload;
    request
}

/// A provider that panics after its first delta: as often as the payload's `panics` says, counted over the process.
#[derive(Debug, Default)]
struct Fragile {
    calls: AtomicU64,
}

impl Fragile {
    fn model() -> Model {
        Model::new("fragile", "fragile", Action::ChatCompletion)
    }
}

#[async_trait]
impl Adapter for Fragile {
    fn name(&self) -> &str {
        "fragile"
    }

    async fn call(&self, call: Call) -> Result<Progressed, adapters::Error> {
        let panics = call.payload["panics"].as_u64().unwrap_or(0);
        let healthy = self.calls.fetch_add(1, Ordering::Relaxed) >= panics;
        let output = Output::Chat(ChatOutput { text: "whole".into(), ..ChatOutput::default() });
        let finished = Finished { output, usage: Usage::default(), model: call.model };
        let delta = stream::iter([Ok(Progress::Delta(ChatDelta::text("whole")))]);
        let end = stream::once(async move {
            assert!(healthy, "a worker dies of this");
            Ok(Progress::Finished(Box::new(finished)))
        });
        Ok(delta.chain(end).boxed())
    }
}

pub(crate) fn delta_text(event: &Event) -> Option<String> {
    match &event.body {
        EventBody::ChatDelta(delta) => Some(delta.delta.clone()),
        _ => None,
    }
}

impl Engine {
    /// What doors know of the budgets.
    pub(crate) fn remaining(&self) -> Remaining {
        Remaining::new(&self.budgets, BTreeMap::new(), Arc::clone(&self.broker), &self.topology)
    }

    pub(crate) async fn start() -> Self {
        Self::with_limits(Limits::default()).await
    }

    /// With so many bytes for outcomes, and for everything else.
    pub(crate) async fn with_outcomes_of(stream_bytes_max: u64) -> Self {
        Self::with_limits(Limits { stream_bytes_max, ..Limits::default() }).await
    }

    /// On a broker that does not sync what it acknowledges.
    pub(crate) async fn unsynced() -> Self {
        Self::on(Limits::default(), Some(PATIENCE)).await
    }

    async fn with_limits(limits: Limits) -> Self {
        Self::on(limits, None).await
    }

    async fn on(limits: Limits, sync_interval: Option<Duration>) -> Self {
        let provider: ProviderConfig = serde_json::from_value(json!({
            "kind": "simulated",
            "concurrency": 16,
            "models": {
                "fast": {},
                "embed": {"action": "embedding.query", "dimensions": 8},
                "image": {"action": "image.generate"},
                "speech": {"action": "audio.synthesize"},
            },
        }))
        .unwrap();
        let of_each = ProviderLimits { concurrency: provider.concurrency, ..ProviderLimits::default() };
        let registry = Registry::build(&BTreeMap::from([("sim".to_owned(), provider)])).unwrap();
        let registry = registry.with(Arc::new(Fragile::default()), [Fragile::model()]);
        let providers = BTreeMap::from(["sim", "fragile"].map(|name| (name.to_owned(), of_each)));
        Self::made_of(registry, providers, Vec::new(), limits, sync_interval).await
    }

    /// With these providers in the place of its own.
    pub(crate) async fn with_providers(registry: Registry, providers: Providers, limits: Limits) -> Self {
        Self::made_of(registry, providers, Vec::new(), limits, None).await
    }

    /// The same, with budgets.
    pub(crate) async fn with_budgets(registry: Registry, providers: Providers, budgets: Value) -> Self {
        let budgets = serde_json::from_value(budgets).unwrap();
        Self::made_of(registry, providers, budgets, Limits::default(), None).await
    }

    async fn made_of(
        registry: Registry,
        providers: Providers,
        budgets: Vec<BudgetConfig>,
        limits: Limits,
        sync_interval: Option<Duration>,
    ) -> Self {
        let seams = Seams::simulated(1, Timestamp::UNIX_EPOCH);
        let memory = Memory::new(Options { seams: seams.clone(), sync_interval, ..Options::default() });
        let broker: Arc<dyn Broker> = Arc::new(memory.clone());
        let topology = Topology::new(Subjects::default());
        broker.ensure(&topology.streams(&limits)).await.unwrap();
        let (system, others) = (None, Vec::new());
        let mut engine =
            Self { broker, memory, topology, seams, registry, providers, budgets, system, others };
        engine.start_again().await;
        engine
    }

    async fn new_system(&self, node: &str) -> System {
        let rule = |when: &str, action| RuleConfig { when: when.into(), matches: None, action };
        let rules = [rule("/messages", Action::ChatCompletion), rule("/input", Action::EmbeddingQuery)];
        let engine = EngineConfig {
            classifier_concurrency: 8,
            delivery_concurrency: 8,
            lease_ms: 20_000,
            attempts_max: 3,
            retries: 2,
            default_deadline_ms: 300_000,
            first_event_ms: 60_000,
            between_events_ms: 30_000,
            total_ms: 600_000,
            drain_ms: 5_000,
            heartbeat_ms: 2_000,
            pause_wait_ms: 5_000,
            resume_wait_ms: 2_000,
        };
        let callbacks = CallbackConfig {
            attempts_max: 3,
            timeout_ms: 1_000,
            retry_first_ms: 1_000,
            retry_longest_ms: 10_000,
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            disable_after: 0,
            default_secret: None,
            default_second_secret: None,
        };
        let parts = Parts {
            broker: Arc::clone(&self.broker),
            topology: self.topology.clone(),
            registry: Arc::new(self.registry.clone()),
            providers: self.providers.clone(),
            assets: asset_limits(),
            waterfalls: Waterfalls::default(),
            public_url: None,
            budgets: self.budgets.clone(),
            parents: BTreeMap::new(),
            seams: self.seams.clone(),
            node: node.into(),
        };
        System::start(engine, &rules, callbacks, parts).await.unwrap()
    }

    /// Drains this engine and starts another on the same broker.
    pub(crate) async fn restart(mut self, limit: Duration) -> Self {
        self.stop(limit).await;
        self.start_again().await;
        self
    }

    /// Drains this engine; its broker stays.
    pub(crate) async fn stop(&mut self, limit: Duration) {
        if let Some(system) = self.system.take() {
            system.drain(limit).await;
        }
    }

    /// Starts another engine on the same broker.
    pub(crate) async fn start_again(&mut self) {
        self.system = Some(self.new_system("n1").await);
    }

    /// Starts another engine beside this one.
    pub(crate) async fn start_beside(&mut self) {
        let node = format!("n{}", self.others.len() + 2);
        self.others.push(self.new_system(&node).await);
    }

    /// The engines beside this one die where they are.
    pub(crate) fn kill_others(&mut self) {
        self.others.clear();
    }

    /// What a person must look at.
    pub(crate) fn alarms(&self) -> Vec<String> {
        self.system.as_ref().map(|system| system.vitals().alarms()).unwrap_or_default()
    }

    /// The broker itself.
    pub(crate) fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(&self.broker)
    }

    pub(crate) const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// How many cancels the broker keeps.
    pub(crate) async fn cancels_kept(&self) -> usize {
        self.broker.replay(&self.topology.cancels, "dynode.ctl.>", 0).await.unwrap().count().await
    }

    /// What is said from now on under one kind of subject.
    pub(crate) async fn listen(&self, kind: &str) -> Subscription {
        self.broker.subscribe(&self.topology.subjects.all(kind)).await.unwrap()
    }

    pub(crate) async fn publish(&self, tenant: &str, action: Action, request: Value) {
        self.publish_as(tenant, action, request, Format::Json).await;
    }

    pub(crate) async fn publish_as(&self, tenant: &str, action: Action, request: Value, format: Format) {
        let subject = self.topology.subjects.request(&Tenant::new(tenant).unwrap(), action);
        let message = Message::new(subject, format, format.encode(&request).unwrap());
        self.broker.publish(Publication { message, id: None }).await.unwrap();
    }

    /// Publishes a chat whose id the gateway made: nobody can have asked before.
    pub(crate) async fn publish_fresh(&self, tenant: &str, request: Value) {
        let subject = self.topology.subjects.request(&Tenant::new(tenant).unwrap(), Action::ChatCompletion);
        let mut message = Message::new(subject, Format::Json, Format::Json.encode(&request).unwrap());
        message.headers.set(FRESH, "1");
        self.broker.publish(Publication { message, id: None }).await.unwrap();
    }

    /// Publishes bytes as they are, under a message id.
    pub(crate) async fn publish_raw(&self, subject: &str, id: &str, body: &[u8]) {
        let headers = Headers::new().with(MESSAGE_ID, id);
        let message = Message { subject: subject.into(), headers, payload: Bytes::copy_from_slice(body) };
        self.broker.publish(Publication { message, id: Some(id.into()) }).await.unwrap();
    }

    pub(crate) async fn cancel(&self, tenant: &str, id: &str) {
        let subject =
            self.topology.subjects.control(&Tenant::new(tenant).unwrap(), &RequestId::new(id).unwrap());
        self.broker.send(Message::new(subject, Format::Json, Bytes::from_static(b"{}"))).await.unwrap();
    }

    /// A cancel that no subscriber hears, whoever it is meant for; the broker stores it.
    pub(crate) async fn cancel_unheard(&self, tenant: &str, id: &str) {
        let deaf = self.memory.inject(Rule::new(Fault::Drop, "dynode.ctl.>")).unwrap();
        self.cancel(tenant, id).await;
        assert_eq!(self.memory.fired(deaf), 1, "somebody listened");
        self.memory.heal(deaf);
    }

    /// Puts classified work into its queue, as the classifier does.
    pub(crate) async fn enqueue(&self, tenant: &str, id: &str) {
        self.enqueue_for("sim", tenant, id).await;
    }

    /// Puts classified work into the queue of a pool.
    pub(crate) async fn enqueue_for(&self, pool: &str, tenant: &str, id: &str) {
        let (tenant, id) = (Tenant::new(tenant).unwrap(), RequestId::new(id).unwrap());
        let payload = json!({"model": "fast", "messages": [{"role": "user", "content": "one two"}]});
        let accepted_at = self.seams.clock.now();
        let work = Work {
            request: Request::new(Action::ChatCompletion, payload),
            plan: Plan { steps: vec![Step { provider: pool.into(), model: "fast".into() }] },
            deadline: accepted_at + Duration::from_secs(600),
            accepted_at,
            format: WireFormat::Json,
            fingerprint: String::new(),
            delivered_before: 0,
            forgiven: 0,
            tenant,
            id,
        };
        let subject = self.topology.subjects.work(pool, work.request.priority, LaneKind::Own, &work.tenant);
        let payload = Format::MessagePack.encode(&work).unwrap();
        let message = Message::new(subject, Format::MessagePack, payload);
        self.broker.publish(Publication { message, id: None }).await.unwrap();
    }

    /// Takes the work of a tenant so often, as a worker does that dies before it looks at it.
    pub(crate) async fn lose_deliveries(&self, tenant: &str, times: usize) {
        let (subjects, lease) = (&self.topology.subjects, Duration::from_secs(20));
        let queue = Queue::of_classes(subjects, &self.topology.work, "work.sim", "pool-sim", lease);
        let lane = Lane::of_tenant(Priority::Standard, tenant);
        let mut consumer = self.broker.consume(&queue.consumer(&lane)).await.unwrap();
        for _ in 0..times {
            let lease = consumer.pull(1, PATIENCE).await.unwrap().remove(0);
            lease.retry_after(Duration::ZERO).await.unwrap();
        }
    }

    /// Loses what was told, as a server does that keeps it in memory and is started again.
    pub(crate) async fn forget_events(&self) {
        self.broker.trim(&self.topology.events, u64::MAX).await.unwrap();
    }

    /// How much work is in the queue.
    pub(crate) async fn work_held(&self) -> u64 {
        let held = self.broker.subjects(&self.topology.work, ">").await.unwrap();
        held.into_iter().map(|(_, messages)| messages).sum()
    }

    /// Whoever counted the deliveries of work is gone.
    pub(crate) fn delete_consumers(&self) {
        let reach = Reach { pattern: self.topology.subjects.all("work"), ..Reach::default() };
        self.memory.switch_on(FaultClass::DeleteConsumer, &reach).unwrap();
    }

    /// Says something that nobody waits for.
    pub(crate) async fn say(&self, subject: &str, body: &Value) {
        let message = Message::new(subject.to_owned(), Format::Json, Format::Json.encode(body).unwrap());
        self.broker.send(message).await.unwrap();
    }

    /// The connection is lost, and comes back.
    pub(crate) async fn blink(&self) {
        self.memory.disconnect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.memory.reconnect();
        tokio::time::sleep(Duration::from_secs(5)).await;
    }

    /// The power of the broker fails, and comes back.
    pub(crate) async fn fail_power(&self) {
        self.memory.switch_on(FaultClass::PowerFailure, &Reach::default()).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.memory.switch_off(FaultClass::PowerFailure);
    }

    /// How much work the broker holds.
    pub(crate) async fn work_kept(&self) -> usize {
        self.broker.replay(&self.topology.work, "dynode.work.>", 0).await.unwrap().count().await
    }

    /// From now on nobody hears what is said on `pattern`.
    pub(crate) async fn deafen(&self, pattern: &str) {
        self.memory.inject(Rule::new(Fault::Drop, pattern)).unwrap();
    }

    /// Whether there is an outcome now.
    pub(crate) async fn has_ended(&self, tenant: &str, id: &str) -> bool {
        let subject = format!("dynode.res.{tenant}.{id}");
        self.broker.last(&self.topology.outcomes, &subject).await.unwrap().is_some()
    }

    pub(crate) async fn outcome(&self, tenant: &str, id: &str) -> Outcome {
        let stored = self.stored_outcome(tenant, id).await;
        stored.message.format().decode(&stored.message.payload).unwrap()
    }

    pub(crate) async fn stored_outcome(&self, tenant: &str, id: &str) -> Stored {
        self.stored(&self.topology.outcomes, &format!("dynode.res.{tenant}.{id}")).await
    }

    pub(crate) async fn parked(&self, tenant: &str, id: &str) -> DeadLetter {
        for stage in ["classifier", "sim", "fragile", "delivery"] {
            let subject = format!("dynode.dead.{stage}.{tenant}.{id}");
            let waiting = self.stored(&self.topology.dead, &subject);
            if let Ok(stored) = tokio::time::timeout(Duration::from_secs(60), waiting).await {
                return stored.message.format().decode(&stored.message.payload).unwrap();
            }
        }
        panic!("{tenant}.{id} was not parked");
    }

    /// The message on `subject`, as soon as there is one. Virtual time passes between two looks.
    async fn stored(&self, stream: &str, subject: &str) -> Stored {
        let look = async {
            loop {
                if let Some(stored) = self.broker.last(stream, subject).await.unwrap() {
                    return stored;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("nothing on {subject}"))
    }

    /// All events so far, the terminal one awaited if the request has ended.
    pub(crate) async fn events(&self, tenant: &str, id: &str) -> Vec<Event> {
        let subject = format!("dynode.evt.{tenant}.{id}");
        let replay = self.broker.replay(&self.topology.events, &subject, 0).await.unwrap();
        let decode = |stored: Result<Stored, _>| {
            let message = stored.unwrap().message;
            message.format().decode(&message.payload).unwrap()
        };
        replay.map(decode).collect().await
    }

    /// The headers of all events so far.
    pub(crate) async fn event_headers(&self, tenant: &str, id: &str) -> Vec<Headers> {
        let subject = format!("dynode.evt.{tenant}.{id}");
        let replay = self.broker.replay(&self.topology.events, &subject, 0).await.unwrap();
        replay.map(|stored| stored.unwrap().message.headers).collect().await
    }

    /// Waits for an event of this name.
    pub(crate) async fn event(&self, tenant: &str, id: &str, name: &str) {
        let look = async {
            while !self.events(tenant, id).await.iter().any(|event| event.body.name() == name) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("no `{name}` of {id}"));
    }

    /// Lets everything that can happen now happen.
    pub(crate) async fn settled(&self) {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("system", &self.system).finish_non_exhaustive()
    }
}
