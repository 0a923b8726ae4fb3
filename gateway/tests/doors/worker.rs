//! Plays the whole engine behind the broker. The model of a request says how it goes.

use std::{sync::Arc, time::Duration};

use broker::{Broker, ConsumerSpec, Headers, Lease, Message, Publication, Topology, memory::Memory};
use schemas::{
    Action, ChatDelta, ChatOutput, EmbeddingOutput, Error, ErrorCode, Event, EventBody, Format, Outcome,
    Output, Request, RequestId, Status, Tenant, Timings, Usage, chat::FinishReason, embedding::Vector,
    fingerprint,
};
use tokio::{sync::Notify, task::JoinSet};

/// The pieces that `sim-chat` says.
pub(crate) const PIECES: [&str; 3] = ["Hello", ", ", "world"];

/// How many pieces `flood` says, far more than sockets buffer.
pub(crate) const FLOOD: u64 = 400;
const FLOOD_BYTES: usize = 64 << 10;

/// The running worker; it ends when this is dropped.
pub(crate) struct Worker {
    /// Lets one request of the model `hold` go on.
    pub(crate) go: Arc<Notify>,
    begun: Arc<Notify>,
    _task: JoinSet<()>,
}

impl Worker {
    pub(crate) async fn start(broker: Memory, topology: Topology) -> Self {
        let spec = ConsumerSpec {
            stream: topology.requests.clone(),
            name: "worker".into(),
            filter: topology.subjects.all("req"),
            ack_wait: Duration::from_secs(60),
            ack_pending_max: 1_000,
            idle_max: None,
        };
        let mut consumer = broker.consume(&spec).await.unwrap();
        let go = Arc::new(Notify::new());
        let begun = Arc::new(Notify::new());
        let held = (begun.clone(), go.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut jobs = JoinSet::new();
            loop {
                tokio::select! {
                    leases = consumer.pull(64, std::time::Duration::from_secs(60)) => for lease in leases.unwrap() {
                        let job = Job::new(broker.clone(), topology.clone(), &lease);
                        let held = held.clone();
                        jobs.spawn(async move { job.work(lease, &held.0, &held.1).await });
                    },
                    Some(done) = jobs.join_next() => done.unwrap(),
                }
            }
        });
        Self { go, begun, _task: task }
    }

    /// Waits until a request of the model `hold` is running.
    pub(crate) async fn held(&self) {
        self.begun.notified().await;
    }
}

/// One request being worked on; also for tests that play the engine themselves.
pub(crate) struct Job {
    broker: Memory,
    topology: Topology,
    tenant: Tenant,
    id: RequestId,
    format: Format,
    request: Request,
    /// Said with the events; empty where the test does not care.
    fingerprint: String,
}

impl Job {
    fn new(broker: Memory, topology: Topology, lease: &Lease) -> Self {
        let format = lease.message.format();
        let request: Request = format.decode(&lease.message.payload).unwrap();
        let (tenant, id) = (request.tenant.clone().unwrap(), request.id.clone().unwrap());
        let fingerprint = fingerprint::of(&request);
        Self { broker, topology, tenant, id, format, request, fingerprint }
    }

    /// Plays the engine for the request `id`.
    pub(crate) fn of(rig: &crate::rig::Rig, id: &str, format: Format) -> Self {
        let request = Request::new(Action::ChatCompletion, serde_json::json!({}));
        let (broker, topology) = (rig.broker.clone(), rig.topology.clone());
        Self {
            broker,
            topology,
            tenant: crate::rig::tenant(),
            id: RequestId::new(id).unwrap(),
            format,
            request,
            fingerprint: String::new(),
        }
    }

    /// Plays the engine for another request under the id `id`.
    pub(crate) fn of_another(rig: &crate::rig::Rig, id: &str) -> Self {
        Self { fingerprint: "another".into(), ..Self::of(rig, id, Format::Json) }
    }

    async fn work(self, lease: Lease, begun: &Notify, go: &Notify) {
        let model = self.request.model().unwrap_or("sim-chat").to_owned();
        if model == "asleep" {
            begun.notify_one();
            go.notified().await;
        }
        if model != "mute" {
            self.emit(0, 0, EventBody::Queued { position: Some(0), estimated_wait_ms: None }).await;
        }
        match model.as_str() {
            "mute" | "script" => {}
            "nobody" => {
                let error = Error::new(ErrorCode::NotFound, "payload.model: no provider serves `nobody`");
                self.end(0, 1, Err(Error { param: Some("payload.model".into()), ..error })).await;
            }
            "broken" => {
                self.running(1).await;
                let error = Error::new(ErrorCode::ProviderUnavailable, "the provider is overloaded");
                self.end(1, 1, Err(error.retry_after_ms(1_500))).await;
            }
            "hold" => {
                self.running(1).await;
                begun.notify_one();
                go.notified().await;
                self.answer(1).await;
            }
            "flood" => {
                self.running(1).await;
                let piece = "x".repeat(FLOOD_BYTES);
                for seq in 1..=FLOOD {
                    self.delta(1, seq, &piece).await;
                }
                self.end(1, FLOOD + 1, Ok(whole())).await;
            }
            _ if matches!(self.request.action, Action::ImageGenerate | Action::AudioSynthesize) => {
                self.running(1).await;
                let media = crate::assets::made(&self.broker, &self.topology, &self.request).await;
                self.end(1, 1, Ok(Output::Media(media))).await;
            }
            _ if self.request.action == Action::EmbeddingQuery => {
                self.running(1).await;
                let embeddings = vec![Vector(vec![0.5, -1.25]), Vector(vec![1.0, 2.0])];
                self.end(1, 1, Ok(Output::Embeddings(EmbeddingOutput { embeddings }))).await;
            }
            _ => {
                self.running(1).await;
                self.answer(1).await;
            }
        }
        lease.ack().await.unwrap();
    }

    pub(crate) async fn running(&self, attempt: u32) {
        self.emit(attempt, 0, EventBody::Running { provider: "sim".into(), model: "sim-chat".into() }).await;
    }

    /// All pieces from `seq` 1 on, and the end.
    pub(crate) async fn answer(&self, attempt: u32) {
        for (seq, piece) in (1..).zip(PIECES) {
            self.delta(attempt, seq, piece).await;
        }
        self.end(attempt, 1 + PIECES.len() as u64, Ok(whole())).await;
    }

    pub(crate) async fn delta(&self, attempt: u32, seq: u64, text: &str) {
        self.emit(attempt, seq, EventBody::ChatDelta(ChatDelta::text(text))).await;
    }

    pub(crate) async fn emit(&self, attempt: u32, seq: u64, body: EventBody) {
        let event = Event { id: self.id.clone(), attempt, seq, body };
        let mut headers = Headers::of_format(self.format);
        if !matches!(event.body, EventBody::ChatDelta(_)) && !self.fingerprint.is_empty() {
            headers.set("Dynode-Fingerprint", self.fingerprint.as_str());
        }
        let payload = self.format.encode(&event).unwrap();
        let subject = self.topology.subjects.event(&self.tenant, &self.id);
        self.broker.send(Message { subject, headers, payload }).await.unwrap();
    }

    /// The outcome, and then the event that tells it.
    pub(crate) async fn end(&self, attempt: u32, seq: u64, result: Result<Output, Error>) {
        let outcome = self.record(attempt, seq, result).await;
        self.emit(attempt, seq, outcome.terminal_event().body).await;
    }

    /// The outcome alone: the worker dies before it can tell.
    pub(crate) async fn record(&self, attempt: u32, seq: u64, result: Result<Output, Error>) -> Outcome {
        let (status, output, error) = match result {
            Ok(output) => (Status::Succeeded, Some(output), None),
            Err(error) => (Status::Failed, None, Some(error)),
        };
        let outcome = Outcome {
            v: 1,
            id: self.id.clone(),
            tenant: self.tenant.clone(),
            session: None,
            key: self.request.key().cloned(),
            action: self.request.action,
            status,
            output,
            usage: Usage { input_tokens: 5, output_tokens: 3, ..Usage::default() },
            cost_usd: None,
            provider: Some("sim".into()),
            model: Some("sim-chat".into()),
            attempts: Vec::new(),
            timings: Timings::default(),
            error,
            metadata: self.request.metadata.clone(),
            fingerprint: self.fingerprint.clone(),
            ended: (attempt, seq),
        };
        let subject = self.topology.subjects.outcome(&self.tenant, &self.id);
        let message = Message::new(subject, self.format, self.format.encode(&outcome).unwrap());
        self.broker.publish(Publication { message, id: None }).await.unwrap();
        outcome
    }
}

/// What `sim-chat` says, in one piece.
pub(crate) fn whole() -> Output {
    let (text, finish_reason) = (PIECES.concat(), Some(FinishReason::Stop));
    Output::Chat(ChatOutput { text, finish_reason, ..ChatOutput::default() })
}
