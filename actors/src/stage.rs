//! Defines what a stage decides, and runs the one loop around every decision: claim, decide, publish, settle.
//!
//! Leases, renewal, retries, tracing and progress live here, once. A stage only turns a message into a [`Verdict`].

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use broker::{ErrorKind, Lease, Link, Publication, Settle, Settlement, trace::Traced};
use jiff::SignedDuration;
use schemas::Outcome;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, debug_span, warn};

use crate::{
    fair::Lane,
    metrics::Metrics,
    outbox::{Conclusion, Outbox, Parked},
    progress::Progress,
    queue::Queue,
};

/// A first delivery this soon after the message was stored is the first; a later one may only be the first since its
/// consumer was deleted.
pub(crate) const FIRST_WITHIN: SignedDuration = SignedDuration::from_millis(100);
/// How long a message waits after its worker ended unexpectedly, so that a message which kills its worker does not
/// spin.
const GIVE_BACK_DELAY: Duration = Duration::from_millis(500);
/// How long a message waits after the broker failed.
const BROKER_RETRY_DELAY: Duration = Duration::from_secs(1);

/// What a stage is given: a leased message, and where to report progress.
#[derive(Debug)]
pub struct Task<'a> {
    /// The message.
    pub lease: &'a Lease,
    /// Where to say how long the work may now be silent.
    pub progress: &'a Progress,
}

/// What becomes of a message.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing more to do: ack it.
    Done,
    /// Publish it to the next stage first, then ack it here.
    Forward(Publication),
    /// The request has ended.
    Conclude(Box<Conclusion>),
    /// Redeliver it after this time.
    RetryAfter(Duration),
    /// It is unusable: park it with the reason, and conclude its request if one is known.
    Park(Box<Parked>),
}

/// One step on a request's path. Implementations decide; they settle nothing.
#[async_trait]
pub trait Stage: fmt::Debug + Send + Sync + 'static {
    /// Its name, in logs, metrics and the subjects of parked work.
    fn name(&self) -> &str;

    /// Where its messages wait.
    fn queue(&self) -> Queue;

    /// How long a new job may be silent.
    fn first_silence(&self) -> Duration;

    /// Decides what becomes of this message. A stage itself gives up messages that were delivered too often.
    async fn decide(&self, task: Task<'_>) -> Result<Verdict, broker::Error>;

    /// What a job cost, in any unit that is the same for all jobs of the stage: tenants get equal shares in this unit.
    fn cost(&self, _outcome: Option<&Outcome>, took: Duration) -> f64 {
        took.as_secs_f64()
    }

    /// The request has ended with this outcome, which is stored and published: the stage drops what it kept for the
    /// request.
    async fn ended(&self, _outcome: &Outcome) {}

    /// The message that replaces this one if it must be handed back unfinished at no cost of an attempt. `None`: the
    /// broker redelivers the same message.
    fn hand_back(&self, _lease: &Lease) -> Option<Publication> {
        None
    }

    /// There is no room for the replacement, so the broker redelivers the same message: makes sure that this costs no
    /// attempt either.
    async fn forgive(&self, _lease: &Lease) -> Result<(), broker::Error> {
        Ok(())
    }
}

/// The loop around a stage's decisions, shared by its workers.
#[derive(Debug)]
pub struct Runner {
    stage: Arc<dyn Stage>,
    outbox: Outbox,
    metrics: Arc<Metrics>,
    lease_time: Duration,
    hand_back: CancellationToken,
}

/// Why a worker had to let go of its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LetGo {
    /// It was silent for longer than it announced.
    Stalled,
    /// The lease was not renewed in time: another worker may have the message by now.
    LeaseLost,
    /// The engine ends before the work does.
    HandBack,
}

impl Runner {
    /// Runs `stage` until `hand_back` is cancelled; running work is then handed back unfinished.
    pub const fn new(
        stage: Arc<dyn Stage>,
        outbox: Outbox,
        metrics: Arc<Metrics>,
        lease_time: Duration,
        hand_back: CancellationToken,
    ) -> Self {
        Self { stage, outbox, metrics, lease_time, hand_back }
    }

    /// The stage.
    pub fn stage(&self) -> &dyn Stage {
        &*self.stage
    }

    /// Runs one message from claim to settlement.
    pub async fn run(&self, held: Held, progress: &Progress) {
        let Some(lease) = &held.lease else { return };
        let span = debug_span!(
            "stage",
            otel.name = self.stage.name(),
            subject = %lease.message.subject,
            delivery = lease.deliveries
        );
        let traced = Traced::of(span, &lease.message.headers);
        progress.begin(self.stage.first_silence());
        traced.run(self.hold(held, progress)).await;
        progress.rest();
    }

    async fn hold(&self, mut held: Held, progress: &Progress) {
        let Some(lease) = &held.lease else { return };
        let started = Instant::now();
        let settler = lease.settler();
        let end = tokio::select! {
            // Finished work is settled first, whatever else happens at the same moment; the fixed order makes a run
            // repeatable from its seed.
            biased;
            settlement = self.work(lease, progress) => Ok(settlement),
            let_go = self.renew(&*settler, progress) => Err(let_go),
            () = self.hand_back.cancelled() => Err(LetGo::HandBack),
        };
        let label = match end {
            Ok((settlement, outcome)) => {
                held.charge(self.stage.cost(outcome.as_deref(), started.elapsed()));
                self.settle(&mut held, settlement).await;
                settlement_label(settlement)
            }
            Err(LetGo::Stalled) => {
                warn!(
                    stage = self.stage.name(),
                    subject = held.subject(),
                    "work stalled; it is delivered again"
                );
                held.settle(Settlement::RetryAfter(Duration::ZERO)).await;
                "stalled"
            }
            Err(LetGo::LeaseLost) => {
                warn!(stage = self.stage.name(), subject = held.subject(), "lease lost; work stopped");
                held.forget();
                "lease_lost"
            }
            Err(LetGo::HandBack) => {
                let settlement = self.give_back(lease).await;
                self.settle(&mut held, settlement).await;
                "handed_back"
            }
        };
        self.metrics.job(self.stage.name(), label, started.elapsed());
    }

    /// Settles a message. An ack names a place in the stream: after a power failure of the server, another message may
    /// take the place of a lost one, and a stale ack would remove work that nobody has done.
    async fn settle(&self, held: &mut Held, settlement: Settlement) {
        let Some(lease) = &held.lease else { return };
        if settlement == Settlement::Ack && held.may_have_moved() && !self.is_in_its_place(lease).await {
            debug!(
                stage = self.stage.name(),
                sequence = lease.sequence,
                "not acknowledged: it is not there any more"
            );
            return held.forget();
        }
        held.settle(settlement).await;
    }

    /// Whether the stream still has this message in its place. If the broker does not say, the message is redelivered.
    async fn is_in_its_place(&self, lease: &Lease) -> bool {
        let (stream, subject) = (self.stage.queue().stream, &lease.message.subject);
        let first = self.outbox.broker().next(&stream, subject, lease.sequence).await;
        matches!(first, Ok(Some(first)) if (first.sequence, first.stored_at) == (lease.sequence, lease.stored_at))
    }

    /// Decides, and carries out the decision except for the settlement.
    async fn work(&self, lease: &Lease, progress: &Progress) -> (Settlement, Option<Box<Outcome>>) {
        let task = Task { lease, progress };
        let carried_out = match self.stage.decide(task).await {
            Ok(verdict) => self.carry_out(verdict, lease, progress).await,
            Err(error) => Err(error),
        };
        carried_out.unwrap_or_else(|error| {
            let (stage, subject) = (self.stage.name(), &lease.message.subject);
            warn!(stage, subject, %error, "broker failed; the message is delivered again");
            (Settlement::RetryAfter(BROKER_RETRY_DELAY), None)
        })
    }

    async fn carry_out(
        &self,
        verdict: Verdict,
        lease: &Lease,
        progress: &Progress,
    ) -> Result<(Settlement, Option<Box<Outcome>>), broker::Error> {
        progress.expect_within(self.outbox.patience());
        let mut outcome = None;
        match verdict {
            Verdict::Done => {}
            Verdict::RetryAfter(delay) => return Ok((Settlement::RetryAfter(delay), None)),
            Verdict::Forward(publication) => {
                let receipt = self.outbox.publish(publication).await?;
                if receipt.duplicate && lease.deliveries == 1 {
                    // Somebody else published first, at the same moment: decide again, now that both are visible.
                    return Ok((Settlement::RetryAfter(GIVE_BACK_DELAY), None));
                }
            }
            Verdict::Conclude(conclusion) => outcome = Some(self.conclude(*conclusion).await?),
            Verdict::Park(parked) => {
                debug!(stage = self.stage.name(), reason = %parked.reason, "parked");
                self.outbox.park(self.stage.name(), lease, &parked).await?;
                self.metrics.parked(self.stage.name(), parked.reason.code);
                if let Some(conclusion) = parked.conclusion {
                    outcome = Some(self.conclude(*conclusion).await?);
                }
            }
        }
        Ok((Settlement::Ack, outcome))
    }

    async fn conclude(&self, conclusion: Conclusion) -> Result<Box<Outcome>, broker::Error> {
        let outcome = Box::new(self.outbox.conclude(conclusion).await?);
        self.stage.ended(&outcome).await;
        Ok(outcome)
    }

    /// Hands a message back unfinished.
    async fn give_back(&self, lease: &Lease) -> Settlement {
        let again = Settlement::RetryAfter(Duration::ZERO);
        let Some(publication) = self.stage.hand_back(lease) else { return again };
        let forgiven = match self.outbox.broker().publish(publication).await {
            Ok(_) => return Settlement::Ack,
            Err(error) if error.kind() == ErrorKind::Full => self.stage.forgive(lease).await,
            Err(error) => Err(error),
        };
        if let Err(error) = forgiven {
            let (stage, subject) = (self.stage.name(), &lease.message.subject);
            warn!(stage, subject, %error, "handed back at the cost of an attempt");
        }
        again
    }

    /// Renews the lease while the work makes progress; returns why the worker must let go.
    async fn renew(&self, settler: &dyn Settle, progress: &Progress) -> LetGo {
        let mut renewed = Instant::now();
        loop {
            sleep(self.lease_time / 3).await;
            if progress.is_overdue() {
                return LetGo::Stalled;
            }
            match settler.settle(Settlement::Renew).await {
                Ok(()) => renewed = Instant::now(),
                Err(error) => debug!(stage = self.stage.name(), %error, "lease not renewed"),
            }
            if renewed.elapsed() >= self.lease_time {
                return LetGo::LeaseLost;
            }
        }
    }
}

const fn settlement_label(settlement: Settlement) -> &'static str {
    match settlement {
        Settlement::Ack => "done",
        Settlement::RetryAfter(_) => "retried",
        Settlement::Reject => "rejected",
        Settlement::Renew => "renewed",
    }
}

/// What is known of a message that a worker let go of.
#[derive(Debug)]
pub struct Return {
    /// The lane it came from.
    pub lane: Lane,
    /// What the lane was charged for it.
    pub estimate: f64,
    /// What it cost; `None` if nobody knows.
    pub cost: Option<f64>,
    /// After this time it is back in its lane.
    pub again: Option<Duration>,
}

/// A leased message in the hands of a worker, with its slot. If dropped unsettled (its worker died), it goes back to
/// the broker.
#[derive(Debug)]
pub struct Held {
    lease: Option<Lease>,
    account: Option<Return>,
    back: mpsc::Sender<Return>,
    link: watch::Receiver<Link>,
    _slot: OwnedSemaphorePermit,
}

impl Held {
    /// Takes `lease`, which came over `link`, into a slot; reports to `back` when it is let go.
    pub fn new(
        lease: Lease,
        slot: OwnedSemaphorePermit,
        account: Return,
        back: mpsc::Sender<Return>,
        mut link: watch::Receiver<Link>,
    ) -> Self {
        link.mark_unchanged();
        Self { lease: Some(lease), account: Some(account), back, link, _slot: slot }
    }

    /// Whether the broker was out of reach since the lease began.
    fn may_have_moved(&self) -> bool {
        self.link.has_changed().unwrap_or(true)
    }

    fn subject(&self) -> &str {
        self.lease.as_ref().map_or("", |lease| &lease.message.subject)
    }

    fn charge(&mut self, cost: f64) {
        if let Some(account) = &mut self.account {
            account.cost = Some(cost);
        }
    }

    async fn settle(&mut self, settlement: Settlement) {
        let Some(lease) = self.lease.take() else { return };
        if let (Settlement::RetryAfter(delay), Some(account)) = (settlement, &mut self.account) {
            account.again = Some(delay);
        }
        if let Err(error) = lease.settler().settle(settlement).await {
            // The broker redelivers an unsettled message, which then ends at the outcome already recorded.
            debug!(%error, ?settlement, "message not settled");
        }
    }

    fn forget(&mut self) {
        self.lease = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(mut account) = self.account.take() else { return };
        if let Some(lease) = self.lease.take() {
            account.again = Some(GIVE_BACK_DELAY);
            // The task only sends one message to the broker; if it dies, the lease expires by itself.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { lease.retry_after(GIVE_BACK_DELAY).await });
            }
        }
        // If nobody reads the channel any more, nobody wants the report.
        let _ = self.back.try_send(account);
    }
}

#[cfg(test)]
mod tests;
