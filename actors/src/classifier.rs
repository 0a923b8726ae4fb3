//! Turns requests into work: decides what is asked for, who is to do it, and whether it has been asked before.

mod backlog;
mod judge;
mod prior;
mod route;
mod rules;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use broker::{Headers, Lease, Message, message::MESSAGE_ID};
use schemas::{
    Action, Error, ErrorCode, Event, EventBody, Format, Outcome, Output, Request, RequestId, Status, Tenant,
    Timings, Usage, VERSION, Work, fingerprint, outcome,
};
use serde_json::json;

use crate::{
    EngineConfig,
    control::Control,
    lanes::Lanes,
    outbox::{self, Conclusion, Outbox, Parked},
    queue::Queue,
    stage::{FIRST_WITHIN, Stage, Task, Verdict},
};
use backlog::Backlog;
pub use judge::Judge;
use prior::Prior;
pub use route::Router;
pub use rules::{BadRule, Rules};

/// The header by which the gateway says that it made the id itself, so that no earlier request can have it.
pub const FRESH: &str = "Dynode-Fresh";
/// The header on events, except deltas, that tells a different request under the same id apart.
pub const FINGERPRINT: &str = "Dynode-Fingerprint";
/// The header on every event of a request that names a session: clients that join the session find its requests by it.
pub const SESSION: &str = "Dynode-Session";
/// The header by which the gateway says that it answers the sender, so that a refusal need not be parked.
pub const DOOR: &str = "Dynode-Door";

/// How long the broker remembers a tenant's lane: much longer than anything is held here, but no longer, since few of
/// many tenants ask all the time.
const REQUEST_LANE_IDLE_MAX: Duration = Duration::from_secs(15 * 60);
/// The attempt of a request that ends in this stage: none has begun.
const BEFORE_THE_FIRST: u32 = 0;

/// The stage.
#[derive(Debug)]
pub struct Classifier {
    judge: Judge,
    control: Arc<Control>,
    outbox: Outbox,
    engine: EngineConfig,
    backlog: Backlog,
    lanes: Lanes,
}

/// A refused request: who must be told, and why.
#[derive(Debug)]
struct Refusal {
    request: Option<Box<Request>>,
    reason: Error,
}

impl Refusal {
    const fn unread(reason: Error) -> Self {
        Self { request: None, reason }
    }

    fn of(request: Request, reason: Error) -> Self {
        Self { request: Some(Box::new(request)), reason }
    }
}

impl Classifier {
    /// Classifies by `judge`.
    pub fn new(judge: Judge, control: Arc<Control>, outbox: Outbox, engine: EngineConfig) -> Self {
        let (backlog, lanes) = (Backlog::default(), Lanes::default());
        Self { judge, control, outbox, engine, backlog, lanes }
    }

    async fn classify(
        &self,
        lease: &Lease,
        tenant: Tenant,
        action: Action,
    ) -> Result<Verdict, broker::Error> {
        let format = lease.message.format();
        let id = id_of(lease, Some(&tenant));
        let request = match self.read(lease, &tenant, action) {
            Ok(request) => request,
            Err(refusal) => return self.refuse(lease, tenant, id, refusal).await,
        };
        let is_new = is_fresh(lease) || self.is_made(lease, &request);
        let id = request.id.clone().unwrap_or(id);
        let fingerprint = if is_fresh(lease) { String::new() } else { fingerprint::of(&request) };
        if !is_new || lease.deliveries > 1 {
            match self.prior(&tenant, &id, &fingerprint).await? {
                Prior::None | Prior::Queued => {}
                Prior::Underway => return Ok(Verdict::Done),
                Prior::Ended(outcome) => {
                    return Ok(Verdict::Conclude(self.conclusion(lease, Some(&request), *outcome, true)));
                }
                Prior::Conflict => return Ok(conflict(tenant, id)),
            }
        } else if self.has_waited(lease) && self.outbox.outcome(&tenant, &id).await?.is_some() {
            return Ok(Verdict::Done);
        }
        if request.action == Action::SystemHealth {
            let output = Some(Output::Other(json!({"status": "ready"})));
            return Ok(Verdict::Conclude(self.conclude(lease, &tenant, &id, Some(&request), Ok(output))));
        }
        let plan = match self.judge.router.plan(&tenant, &request) {
            Ok(plan) => plan,
            Err(reason) => return self.refuse(lease, tenant, id, Refusal::of(request, reason)).await,
        };
        let deadline = self.judge.deadline(&request, lease.stored_at);
        if deadline <= self.outbox.now() {
            return Ok(Verdict::Conclude(self.conclude(lease, &tenant, &id, Some(&request), Err(expired()))));
        }
        let told = (&*fingerprint, request.session.as_ref());
        self.tell_queued(&tenant, &id, format, told, lease.pending).await;
        let accepted_at = lease.stored_at;
        let format = format.into();
        let work = Work {
            id,
            tenant,
            request,
            plan,
            accepted_at,
            deadline,
            format,
            fingerprint,
            delivered_before: 0,
            forgiven: 0,
        };
        let publication = outbox::work(self.lane_of(&work).await, &work)?;
        if let Err(reason) = self.outbox.check_size(&publication) {
            let Work { tenant, id, request, .. } = work;
            return self.refuse(lease, tenant, id, Refusal::of(request, reason)).await;
        }
        Ok(Verdict::Forward(publication))
    }

    /// The subject on which `work` is filed.
    async fn lane_of(&self, work: &Work) -> String {
        let (subjects, pool) = (&self.outbox.topology().subjects, work.plan.pool());
        let queue = (pool, work.request.priority);
        let there = self.backlog.file(queue, &work.tenant, &self.outbox).await;
        // As many as there are free slots do not wait, or not for long.
        let ahead = there.saturating_sub(self.judge.router.free_slots(pool));
        self.lanes.subject(subjects, queue, &work.tenant, ahead)
    }

    /// Reads and checks a request, and decides its action if it is `auto`.
    fn read(&self, lease: &Lease, tenant: &Tenant, action: Action) -> Result<Request, Refusal> {
        let format = lease.message.format();
        let mut request = Request::read(format, &lease.message.payload).map_err(Refusal::unread)?;
        let mut checked = || {
            if request.tenant.as_ref().is_some_and(|named| named != tenant) {
                let error = Error::new(ErrorCode::Forbidden, "tenant: is not the tenant of the subject");
                return Err(Error { param: Some("tenant".into()), ..error });
            }
            request.action = match (request.action, action) {
                (named, Action::Auto) => named,
                (Action::Auto, of_subject) => of_subject,
                (named, of_subject) if named == of_subject => named,
                (named, of_subject) => {
                    return Err(Error::invalid(
                        "action",
                        format!("`{named}`, but the subject says `{of_subject}`"),
                    ));
                }
            };
            request.action = self.judge.action(&request)?;
            self.judge.check(&request)
        };
        match checked() {
            Ok(()) => Ok(request),
            Err(reason) => Err(Refusal::of(request, reason)),
        }
    }

    /// Whether it may have been delivered before, to a consumer that the broker has forgotten.
    fn has_waited(&self, lease: &Lease) -> bool {
        self.outbox.now().duration_since(lease.stored_at) >= FIRST_WITHIN
    }

    /// Whether its id was made here, just now, so that no earlier request can have it.
    fn is_made(&self, lease: &Lease, request: &Request) -> bool {
        let is_named = request.id.is_some() || lease.message.headers.get(MESSAGE_ID).is_some();
        !is_named && !self.has_waited(lease)
    }

    async fn tell_queued(
        &self,
        tenant: &Tenant,
        id: &RequestId,
        format: Format,
        (fingerprint, session): (&str, Option<&RequestId>),
        ahead: u64,
    ) {
        let body = EventBody::Queued { position: Some(ahead), estimated_wait_ms: None };
        let event = Event { id: id.clone(), attempt: 0, seq: 0, body };
        let Ok(payload) = format.encode(&event) else { return };
        let mut headers = Headers::of_format(format);
        if !fingerprint.is_empty() {
            headers.set(FINGERPRINT, fingerprint);
        }
        if let Some(session) = session {
            headers.set(SESSION, session.as_str());
        }
        let subject = self.outbox.topology().subjects.event(tenant, id);
        if let Err(error) = self.outbox.broker().send(Message { subject, headers, payload }).await {
            tracing::debug!(%error, "event not sent");
        }
    }

    /// Refuses a request. If its id belongs to another request, only the message is parked: that request's outcome is
    /// not this one's.
    async fn refuse(
        &self,
        lease: &Lease,
        tenant: Tenant,
        id: RequestId,
        refusal: Refusal,
    ) -> Result<Verdict, broker::Error> {
        let request = refusal.request.as_deref();
        let id = request.and_then(|request| request.id.clone()).unwrap_or(id);
        let fingerprint = request.map(fingerprint::of).unwrap_or_default();
        let prior = match is_fresh(lease) && lease.deliveries == 1 {
            true => Prior::None,
            false => match self.prior(&tenant, &id, &fingerprint).await? {
                // An earlier delivery published this, but did not get as far as its work.
                Prior::Queued => Prior::None,
                prior => prior,
            },
        };
        let conclusion = match prior {
            Prior::None => Some(self.conclude(lease, &tenant, &id, request, Err(refusal.reason.clone()))),
            Prior::Ended(outcome) if !fingerprint.is_empty() => {
                Some(self.conclusion(lease, request, *outcome, true))
            }
            _ => None,
        };
        Ok(match conclusion {
            Some(conclusion) if lease.message.headers.get(DOOR).is_some() => Verdict::Conclude(conclusion),
            conclusion => {
                let (tenant, id) = (tenant.into(), id.into());
                Verdict::Park(Box::new(Parked { tenant, id, reason: refusal.reason, conclusion }))
            }
        })
    }

    fn conclude(
        &self,
        lease: &Lease,
        tenant: &Tenant,
        id: &RequestId,
        request: Option<&Request>,
        result: Result<Option<Output>, Error>,
    ) -> Box<Conclusion> {
        let now = self.outbox.now();
        let total_ms = outcome::milliseconds(lease.stored_at, now);
        let (status, output, error) = match result {
            Ok(output) => (Status::Succeeded, output, None),
            Err(error) if error.code == ErrorCode::DeadlineExceeded => (Status::Expired, None, Some(error)),
            Err(error) => (Status::Failed, None, Some(error)),
        };
        let outcome = Outcome {
            v: VERSION,
            id: id.clone(),
            tenant: tenant.clone(),
            action: request.map_or(Action::Auto, |request| request.action),
            session: request.and_then(|request| request.session.clone()),
            key: request.and_then(Request::key).cloned(),
            status,
            output,
            usage: Usage::default(),
            cost_usd: None,
            provider: None,
            model: None,
            attempts: Vec::new(),
            timings: Timings { queued_ms: total_ms, first_event_ms: None, total_ms },
            error,
            metadata: request.map(|request| request.metadata.clone()).unwrap_or_default(),
            fingerprint: request.map(fingerprint::of).unwrap_or_default(),
            ended: (BEFORE_THE_FIRST, 1),
        };
        self.conclusion(lease, request, outcome, false)
    }

    /// The end of `request` with `outcome`, which stands already if it is `recorded`.
    fn conclusion(
        &self,
        lease: &Lease,
        request: Option<&Request>,
        outcome: Outcome,
        recorded: bool,
    ) -> Box<Conclusion> {
        let callback = request.and_then(|request| request.callback.clone());
        let callback = callback.filter(|callback| self.judge.check_callback(callback).is_ok());
        let recorded = recorded.then_some(outcome.ended);
        Box::new(Conclusion { outcome, format: lease.message.format(), callback, recorded })
    }
}

#[async_trait]
impl Stage for Classifier {
    fn name(&self) -> &str {
        "classifier"
    }

    fn queue(&self) -> Queue {
        let topology = self.outbox.topology();
        let (subjects, lease) = (&topology.subjects, self.engine.lease());
        let queue = Queue::of_tenants(subjects, &topology.requests, "req", "classifier", lease);
        Queue { idle_max: REQUEST_LANE_IDLE_MAX, ..queue }
    }

    fn first_silence(&self) -> Duration {
        self.engine.lease()
    }

    async fn decide(&self, task: Task<'_>) -> Result<Verdict, broker::Error> {
        let lease = task.lease;
        let subjects = &self.outbox.topology().subjects;
        let spent = lease.deliveries - 1;
        let reason = match subjects.parse_request(&lease.message.subject) {
            Ok(_) if spent >= self.engine.attempts_max => {
                Error::new(ErrorCode::Internal, format!("could not be classified in {spent} deliveries"))
            }
            Ok((tenant, action)) => return self.classify(lease, tenant, action).await,
            Err(reason) => reason,
        };
        let Some(tenant) = subjects.request_tenant(&lease.message.subject) else {
            let id = id_of(lease, None).into();
            let parked = Parked { tenant: "unknown".into(), id, reason, conclusion: None };
            return Ok(Verdict::Park(Box::new(parked)));
        };
        let request = lease.message.format().decode(&lease.message.payload).ok();
        let id = id_of(lease, Some(&tenant));
        self.refuse(lease, tenant, id, Refusal { request, reason }).await
    }
}

/// Whether the gateway made the id, so that no earlier request can have it.
fn is_fresh(lease: &Lease) -> bool {
    lease.message.headers.get(FRESH).is_some()
}

/// The id of a request that names none in its body: its message id, with or without its tenant before it, or one made
/// from its place in the stream, which is the same at every delivery.
fn id_of(lease: &Lease, tenant: Option<&Tenant>) -> RequestId {
    let beside = lease.message.headers.get(MESSAGE_ID);
    let without = |id: &str| Some(id.strip_prefix(tenant?.as_str())?.strip_prefix('.')?.to_owned());
    let named = beside.and_then(|id| RequestId::new(without(id).as_deref().unwrap_or(id)).ok());
    named.unwrap_or_else(|| {
        let made = format!("m{:x}-{}", lease.stored_at.as_millisecond(), lease.sequence);
        RequestId::new(made).unwrap_or_else(|_| unreachable!("hex digits and a number are a token"))
    })
}

fn expired() -> Error {
    let why = "the deadline passed before the work began; allow more with `deadline_ms`";
    Error::new(ErrorCode::DeadlineExceeded, why)
}

fn conflict(tenant: Tenant, id: RequestId) -> Verdict {
    let reason = Error::new(ErrorCode::Conflict, format!("the id `{id}` is in use by a different request"));
    Verdict::Park(Box::new(Parked { tenant: tenant.into(), id: id.into(), reason, conclusion: None }))
}
