//! A gateway on a free port, with a broker and a worker of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use broker::{AssetLimits, Broker, Limits, Message, Publication, Seams, Topology, memory::Memory};
use futures_util::{StreamExt, future::BoxFuture};
use gateway::{Access, Catalogue, Config, Gateway, ModelInfo, Parts, Signers, Standing};
use jiff::Timestamp;
use schemas::{
    Action, Error, ErrorCode, Estimate, EstimatedStep, Format, LaneKind, Plan, Request, RequestId, Secret,
    Subjects, Tenant, Work,
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::worker::Worker;

/// Longer than anything takes on a busy machine: no test waits for it unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// By which the provider `signing` signs its webhooks.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    /// Where operators connect, where that is an address of their own.
    pub(crate) manage: Option<SocketAddr>,
    pub(crate) broker: Memory,
    pub(crate) topology: Topology,
    pub(crate) worker: Worker,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<Result<(), gateway::Error>>,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// A gateway whose configuration differs by `changes`.
    pub(crate) async fn with(changes: Value) -> Self {
        let broker = Memory::default();
        let topology = Topology::new(Subjects::default());
        broker.ensure(&topology.streams(&Limits::default())).await.unwrap();
        Self::on(broker, changes).await
    }

    /// A gateway whose links to assets are good for `link`.
    pub(crate) async fn with_links_for(link: Duration) -> Self {
        let broker = Memory::default();
        let topology = Topology::new(Subjects::default());
        broker.ensure(&topology.streams(&Limits::default())).await.unwrap();
        Self::keeping(broker, AssetLimits { link, ..AssetLimits::default() }, json!({})).await
    }

    /// A gateway on `broker`, whose streams are there.
    pub(crate) async fn on(broker: Memory, changes: Value) -> Self {
        Self::keeping(broker, AssetLimits::default(), changes).await
    }

    async fn keeping(broker: Memory, assets: AssetLimits, changes: Value) -> Self {
        Self::of(Topology::new(Subjects::default()), broker, assets, changes).await
    }

    /// A gateway on `broker` with what the configuration says of keys.
    pub(crate) async fn guarded(broker: Memory, access: Access, changes: Value) -> Self {
        let (topology, assets) = (Topology::new(Subjects::default()), AssetLimits::default());
        Self::opened(topology, broker, assets, access, changes).await.unwrap()
    }

    /// A gateway that knows of these streams only.
    pub(crate) async fn of(topology: Topology, broker: Memory, assets: AssetLimits, changes: Value) -> Self {
        Self::opened(topology, broker, assets, Access::default(), changes).await.unwrap()
    }

    /// One that may refuse to start.
    pub(crate) async fn opened(
        topology: Topology,
        broker: Memory,
        assets: AssetLimits,
        access: Access,
        changes: Value,
    ) -> Result<Self, gateway::Error> {
        let worker = Worker::start(broker.clone(), topology.clone()).await;
        let model = |id: &str, action| ModelInfo {
            id: id.into(),
            action,
            owned_by: "sim".into(),
            pool: "sim".into(),
        };
        let parts = Parts {
            broker: Arc::new(broker.clone()),
            topology: topology.clone(),
            assets,
            seams: Seams::system(),
            catalogue: Catalogue::new(vec![
                model("sim-chat", Action::ChatCompletion),
                model("lab/sim-embed", Action::EmbeddingQuery),
                model("lab/sim-image", Action::ImageGenerate),
                model("lab/sim-speech", Action::AudioSynthesize),
            ]),
            access,
            signers: signers(),
            estimate: Arc::new(estimate),
            check_cost: Arc::new(check_cost),
            file: Arc::new(file),
            metrics: Arc::new(|| Box::pin(async { "# metrics\n".to_owned() })),
            standing: Arc::new(Standing::default),
            version: "0.0.0".into(),
        };
        let gateway = Gateway::bind(config(changes), parts).await?;
        let (address, manage) = (gateway.local_addr(), gateway.manage_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(gateway.serve(async move {
            let _ = stopped.await;
        }));
        Ok(Self { address, manage, broker, topology, worker, stop: Some(stop), server })
    }

    /// Begins the drain.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until the gateway has returned.
    pub(crate) async fn ended(self) {
        tokio::time::timeout(PATIENCE, self.server).await.unwrap().unwrap().unwrap();
    }

    /// Waits until `count` messages are stored on `subject`.
    pub(crate) async fn until_stored(&self, subject: &str, count: usize) {
        let mut live = self.broker.subscribe(subject).await.unwrap();
        let stream = if subject.contains(".res.") { &self.topology.outcomes } else { &self.topology.events };
        while self.broker.replay(stream, subject, 0).await.unwrap().count().await < count {
            tokio::time::timeout(PATIENCE, live.next()).await.unwrap().unwrap();
        }
    }

    /// Waits until the request `id` has an outcome.
    pub(crate) async fn until_ended(&self, id: &str) {
        self.until_stored(&self.topology.subjects.outcome(&tenant(), &RequestId::new(id).unwrap()), 1).await;
    }

    pub(crate) fn event_subject(&self, id: &str) -> String {
        self.topology.subjects.event(&tenant(), &RequestId::new(id).unwrap())
    }
}

/// One provider signs its webhooks, all others do not.
fn signers() -> Signers {
    Signers::new(
        &[("plain".to_owned(), None), ("signing".to_owned(), Some(Secret::new(WEBHOOK_SECRET)))].into(),
    )
    .unwrap()
}

/// What the router says of one model that has a price.
fn estimate(_: &Tenant, request: Request) -> Result<Estimate, Error> {
    request.check()?;
    let step = EstimatedStep {
        provider: "sim".into(),
        model: request.model().unwrap_or_default().into(),
        output_tokens_max: None,
        cost_usd_min: Some(0.25),
        cost_usd_max: None,
    };
    Ok(Estimate { action: request.action, input_tokens: 1, steps: vec![step], left_out: Vec::new() })
}

/// What may cost nothing, and so long an answer, is more than is left.
fn check_cost(_: &Tenant, request: &Request) -> BoxFuture<'static, Result<(), Error>> {
    let error = Error::new(ErrorCode::BudgetExceeded, "nothing is left of it").retry_after_ms(60_000);
    let is_dear = request.route.max_cost_usd == Some(0.0) || request.payload["max_tokens"] == 1_000_000;
    let checked = if is_dear { Err(error) } else { Ok(()) };
    Box::pin(async { checked })
}

/// Makes work of what asks for a model whose name says so.
fn file(request: &Request, format: Format, fingerprint: &str, _ahead: u64) -> Option<Publication> {
    request.model().filter(|model| model.starts_with("filed"))?;
    let (id, tenant) = (request.id.clone()?, request.tenant.clone()?);
    let (subject, name) =
        (Subjects::default().work("sim", request.priority, LaneKind::Own, &tenant), format!("{tenant}.{id}"));
    let work = Work {
        id,
        tenant,
        request,
        plan: Plan::default(),
        accepted_at: Timestamp::UNIX_EPOCH,
        deadline: Timestamp::UNIX_EPOCH,
        format: format.into(),
        fingerprint: fingerprint.to_owned(),
        delivered_before: 0,
        forgiven: 0,
    };
    let payload = Format::MessagePack.encode(&work).unwrap();
    Some(Publication { message: Message::new(subject, Format::MessagePack, payload), id: Some(name) })
}

pub(crate) fn tenant() -> Tenant {
    Tenant::new("default").unwrap()
}

fn config(changes: Value) -> Config {
    let mut config = json!({
        "listen": "127.0.0.1:0",
        "manage_listen": "",
        "tls_cert": "",
        "tls_key": "",
        "tenant": "default",
        "public_url": "",
        "body_bytes_max": 1 << 20,
        "frame_bytes_max": 1 << 20,
        "header_read_timeout_ms": 30_000,
        "body_read_timeout_ms": 30_000,
        "write_timeout_ms": 30_000,
        "connections_max": 64,
        "connections_per_ip_max": 64,
        "proxies": [],
        "requests_inflight_max": 64,
        "bytes_inflight_max": 64 << 20,
        "queue_max": 1_000,
        "tenant_queue_max": 1_000,
        "assumed_job_ms": 1_000,
        "socket_requests_max": 16,
        "socket_sessions_max": 4,
        "socket_queue_frames_max": 64,
        "socket_idle_timeout_ms": 60_000,
        "key_refresh_ms": 50,
        "ping_interval_ms": 15_000,
        "default_deadline_ms": 60_000,
        "deadline_grace_ms": 5_000,
        "resume_wait_ms": 1_000,
        "linger_ms": 30_000,
        "drain_timeout_ms": 30_000,
        "origins_allowed": [],
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    serde_json::from_value(config).unwrap()
}
