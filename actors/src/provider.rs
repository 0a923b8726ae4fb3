//! Turns work into an outcome: the calls of one attempt, one provider after the other, until one answers.

mod attempt;
mod bill;
mod fence;
mod keep;
mod midstream;
mod sniff;
mod webhook;
mod worth;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use adapters::Registry;
use async_trait::async_trait;
use broker::{Lease, Publication};
use schemas::{Error, ErrorCode, Format, Outcome, Output, Status, Timings, VERSION, Work, outcome};
use tokio::time::{Instant, sleep_until};

use crate::{
    EngineConfig,
    budgets::Budgets,
    closings::Closings,
    control::Control,
    emitter::Emitter,
    governor,
    measured::Measured,
    metrics::Metrics,
    outbox::{self, Conclusion, Outbox, Parked},
    queue::Queue,
    stage::{Stage, Task, Verdict},
};
use attempt::Attempt;
pub use attempt::Flights;
pub use keep::Store;
use parking_lot::RwLock;
pub use webhook::Webhooks;

/// How long work has after its deadline to write its end.
const DEADLINE_GRACE: Duration = Duration::from_secs(5);

/// Writing one token takes a provider about as long as reading this many.
const OUTPUT_WEIGHT: f64 = 4.0;

/// The governors, by provider. A governor that replaces a dead one is told which keys want no calls.
#[derive(Debug, Default)]
pub struct Governors(RwLock<BTreeMap<String, Seat>>);

#[derive(Debug, Default)]
struct Seat {
    governor: Option<governor::Handle>,
    /// Until when the provider wants no call by each key.
    closed: BTreeMap<usize, Instant>,
}

impl Governors {
    /// The governor of `provider`.
    pub fn get(&self, provider: &str) -> Option<governor::Handle> {
        self.0.read().get(provider)?.governor.clone()
    }

    /// From now on `governor` governs `provider`.
    pub fn set(&self, provider: &str, governor: governor::Handle) {
        self.change(provider, |seat| seat.governor = Some(governor));
    }

    /// The provider wants no call by `key` before `until`, or before a later instant that it named earlier.
    pub fn close(&self, provider: &str, key: usize, until: Instant) {
        self.change(provider, |seat| {
            let closed = seat.closed.entry(key).or_insert(until);
            *closed = until.max(*closed);
        });
    }

    /// Until when the provider wants no call by `key`, if that is still to come.
    pub fn closed_until(&self, provider: &str, key: usize) -> Option<Instant> {
        self.0.read().get(provider)?.closed.get(&key).copied().filter(|until| *until > Instant::now())
    }

    fn change(&self, provider: &str, change: impl FnOnce(&mut Seat)) {
        let mut seats = self.0.write();
        let seat = seats.entry(provider.to_owned()).or_default();
        change(seat);
        if let Some(governor) = &seat.governor {
            seat.closed.iter().for_each(|(key, until)| governor.close(*key, *until));
        }
    }
}

/// The parts that all provider stages share.
#[derive(Debug)]
pub struct Shared {
    /// The providers.
    pub registry: Arc<Registry>,
    /// Decide who may call the providers, and when.
    pub governors: Arc<Governors>,
    /// The budgets of tenants.
    pub budgets: Arc<Budgets>,
    /// Which providers want no calls.
    pub closings: Arc<Closings>,
    /// Cancels.
    pub control: Arc<Control>,
    /// Where to write.
    pub outbox: Outbox,
    /// Timeouts and retries.
    pub engine: EngineConfig,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Where to store the files that providers make.
    pub assets: Store,
    /// Where providers report the end of long work, if they can reach us.
    pub webhooks: Option<Webhooks>,
    /// Measurements of the providers.
    pub measured: Arc<Measured>,
    /// Calls that several requests share.
    pub flights: Flights,
}

/// The stage of one provider's pool.
#[derive(Debug)]
pub struct ProviderStage {
    pool: String,
    shared: Arc<Shared>,
}

/// How an attempt ended.
enum Ending {
    Answered(Box<adapters::Finished>),
    Failed(Error),
    Cancelled,
    Expired(Error),
}

impl Ending {
    const fn status(&self) -> Status {
        match self {
            Self::Answered(_) => Status::Succeeded,
            Self::Failed(_) => Status::Failed,
            Self::Cancelled => Status::Cancelled,
            Self::Expired(_) => Status::Expired,
        }
    }

    /// Why there is no answer.
    fn error(&self) -> Option<Error> {
        match self {
            Self::Answered(_) => None,
            Self::Failed(error) | Self::Expired(error) => Some(error.clone()),
            Self::Cancelled => Some(Error::new(ErrorCode::Cancelled, "cancelled by its sender")),
        }
    }
}

impl ProviderStage {
    /// The stage of `pool`: the configured name of a provider.
    pub const fn new(pool: String, shared: Arc<Shared>) -> Self {
        Self { pool, shared }
    }

    async fn attempt(&self, task: Task<'_>, work: Work) -> Result<Verdict, broker::Error> {
        let (fence::Place { number, is_spent }, outcome) =
            match fence::is_first(&self.shared, task.lease, &work) {
                true => (fence::Place::FIRST, None),
                false => tokio::try_join!(
                    fence::place(&self.shared, task.lease, &work),
                    self.shared.outbox.outcome(&work.tenant, &work.id)
                )?,
            };
        if let Some(outcome) = outcome {
            // An earlier worker recorded the end and died before it could publish it. If readers may have seen a newer
            // attempt than the recorded one, they drop events of the older: the end is published as this attempt's.
            let is_hidden = number > outcome.ended.0.saturating_add(1);
            let told_at = if is_hidden { (number, 0) } else { outcome.ended };
            return Ok(Verdict::Conclude(Box::new(self.conclusion(work, outcome, Some(told_at)))));
        }
        let subject = self.shared.outbox.topology().subjects.event(&work.tenant, &work.id);
        let emitter = Emitter::new(self.shared.outbox.broker(), subject, &work, number);
        let deadline = deadline(&work, self.shared.outbox.now());
        let mut attempt = Attempt::new(&self.shared, task.progress, &work, emitter, deadline);
        if is_spent {
            attempt.claim().await;
            return Ok(self.give_up(&work, &attempt));
        }
        let registration = self.shared.control.register(&work.tenant, &work.id);
        task.progress.expect_within(deadline.saturating_duration_since(Instant::now()) + DEADLINE_GRACE);
        let ending = tokio::select! {
            biased;
            () = registration.cancelled() => Ending::Cancelled,
            () = passing(deadline) => Ending::Expired(self.expired()),
            answer = self.run(&mut attempt) => answer.map_or_else(Ending::Failed, Ending::Answered),
        };
        attempt.cut(ending.error().as_ref());
        let outcome = self.outcome(&work, &attempt, ending);
        Ok(Verdict::Conclude(Box::new(self.conclusion(work, outcome, None))))
    }

    /// Waits for earlier cancels, which end the work before its first call, and for pauses that providers asked for.
    async fn run(&self, attempt: &mut Attempt<'_>) -> Result<Box<adapters::Finished>, Error> {
        if attempt.next_event().0 > 1 {
            attempt.claim().await;
        }
        self.shared.control.caught_up().await;
        self.shared.closings.caught_up().await;
        attempt.run().await
    }

    /// The error of work that ran out of time.
    fn expired(&self) -> Error {
        let why = match self.shared.registry.adapter(&self.pool) {
            Some(_) => {
                "the deadline passed before the work was done; allow more with `deadline_ms`".to_owned()
            }
            None => format!("the deadline passed, and no engine has the provider `{}` any more", self.pool),
        };
        Error::new(ErrorCode::DeadlineExceeded, why)
    }

    /// Gives up work that ended its worker, or was silent, at each attempt.
    fn give_up(&self, work: &Work, attempt: &Attempt<'_>) -> Verdict {
        let tries = self.shared.engine.attempts_max;
        let why = format!("given up after {tries} attempts, none of which came to an end");
        let reason = Error::new(ErrorCode::Stalled, why);
        let outcome = self.outcome(work, attempt, Ending::Failed(reason.clone()));
        let (tenant, id) = (work.tenant.to_string(), work.id.to_string());
        let conclusion = Some(Box::new(self.conclusion(work.clone(), outcome, None)));
        Verdict::Park(Box::new(Parked { tenant, id, reason, conclusion }))
    }

    fn outcome(&self, work: &Work, attempt: &Attempt<'_>, ending: Ending) -> Outcome {
        let now = self.shared.outbox.now();
        let served = attempt.served_by();
        let mut outcome = Outcome {
            v: VERSION,
            id: work.id.clone(),
            tenant: work.tenant.clone(),
            action: work.request.action,
            session: work.request.session.clone(),
            key: work.request.key().cloned(),
            status: ending.status(),
            output: None,
            usage: attempt.bill().usage(),
            cost_usd: attempt.bill().cost_usd(),
            provider: served.map(|step| step.provider.clone()),
            model: served.map(|step| step.model.clone()),
            attempts: attempt.records().to_vec(),
            timings: Timings {
                queued_ms: outcome::milliseconds(work.accepted_at, attempt.started_at()),
                first_event_ms: attempt.first_event_ms(),
                total_ms: outcome::milliseconds(work.accepted_at, now),
            },
            error: ending.error(),
            metadata: work.request.metadata.clone(),
            fingerprint: work.fingerprint.clone(),
            ended: attempt.next_event(),
        };
        match ending {
            Ending::Answered(finished) => {
                outcome.model = Some(finished.model);
                outcome.output = Some(finished.output);
            }
            Ending::Failed(error) if error.code == ErrorCode::InvalidOutput => {
                outcome.output = attempt.rejected().cloned().map(Output::Chat);
            }
            Ending::Failed(_) | Ending::Cancelled | Ending::Expired(_) => {}
        }
        outcome
    }

    fn conclusion(&self, work: Work, outcome: Outcome, recorded: Option<(u32, u64)>) -> Conclusion {
        Conclusion { outcome, format: work.format.into(), callback: work.request.callback, recorded }
    }
}

/// Resolves when `deadline` has passed; at once if it has, since a timer takes up to a millisecond, in which a call
/// begins.
async fn passing(deadline: Instant) {
    if deadline > Instant::now() {
        sleep_until(deadline).await;
    }
}

/// The deadline on the monotonic clock, so that no clock change moves it from here on.
fn deadline(work: &Work, now: jiff::Timestamp) -> Instant {
    Instant::now() + Duration::from_millis(outcome::milliseconds(now, work.deadline))
}

#[async_trait]
impl Stage for ProviderStage {
    fn name(&self) -> &str {
        &self.pool
    }

    fn queue(&self) -> Queue {
        let topology = self.shared.outbox.topology();
        let (path, name) = (format!("work.{}", self.pool), format!("pool-{}", self.pool));
        let lease = self.shared.engine.lease();
        Queue::of_classes(&topology.subjects, &topology.work, &path, &name, lease)
    }

    fn cost(&self, outcome: Option<&Outcome>, _: Duration) -> f64 {
        let tokens = outcome.map_or(0.0, |Outcome { usage, .. }| {
            usage.input_tokens as f64 + OUTPUT_WEIGHT * usage.output_tokens as f64
        });
        tokens.max(1.0)
    }

    fn first_silence(&self) -> Duration {
        self.shared.engine.lease()
    }

    async fn decide(&self, task: Task<'_>) -> Result<Verdict, broker::Error> {
        match task.lease.message.format().decode::<Work>(&task.lease.message.payload) {
            Ok(work) => Box::pin(self.attempt(task, work)).await,
            Err(reason) => Ok(unreadable(task, reason)),
        }
    }

    async fn ended(&self, outcome: &Outcome) {
        self.shared.control.ended(&outcome.tenant, &outcome.id).await;
    }

    fn hand_back(&self, lease: &Lease) -> Option<Publication> {
        let work: Work = lease.message.format().decode(&lease.message.payload).ok()?;
        let work = work.handed_back(lease.deliveries);
        let id = format!("{}.{}.{}", work.tenant, work.id, work.delivered_before);
        let payload = outbox::encode(Format::MessagePack, &work).ok()?;
        let message = outbox::message(lease.message.subject.clone(), Format::MessagePack, payload);
        Some(Publication { message, id: Some(id) })
    }

    async fn forgive(&self, lease: &Lease) -> Result<(), broker::Error> {
        match lease.message.format().decode(&lease.message.payload) {
            Ok(work) => fence::forgive(&self.shared, lease, &work).await,
            // Unreadable work is parked when it comes again.
            Err(_) => Ok(()),
        }
    }
}

fn unreadable(task: Task<'_>, reason: Error) -> Verdict {
    let id = format!("seq-{}", task.lease.sequence);
    Verdict::Park(Box::new(Parked { tenant: "unknown".into(), id, reason, conclusion: None }))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn nothing_begins_after_a_deadline() {
        assert!(passing(Instant::now()).now_or_never().is_some());
        assert!(passing(Instant::now() + Duration::from_secs(60)).now_or_never().is_none());
    }
}
