//! Makes one attempt at a piece of work: down the plan, with retries, until a provider answers or none will.

mod account;
mod caller;
mod flight;
mod hedge;
mod judge;

use std::time::Duration;

use adapters::{Finished, Progress as Answer, Remedy};
use futures_util::StreamExt;
use jiff::Timestamp;
use schemas::{
    AttemptRecord, ChatDelta, ChatOutput, Error, ErrorCode, EventBody, MidstreamFailure, Output, Step, Work,
};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{Instrument, info};

use super::{Shared, bill::Bill, keep::Keep, midstream, worth};
use crate::{
    backoff::Backoff,
    budgets::Hold,
    emitter::Emitter,
    form::Form,
    governor::{Permit, Refusal},
    progress::Progress,
};
use account::{Beside, Running};
use caller::{Caller, Calling, Mark, Opened, broken_off, stalled};
pub use flight::Flights;
use judge::{Held, Judgement, Question};

/// The delay between two calls of a provider that failed.
const RETRY_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// How often one attempt waits for a provider that throttles; the deadline bounds it too.
const THROTTLED_MAX: u32 = 20;
/// How much earlier the call's own timeout ends a silence than the watcher of the lease sees it.
const CLOCK_MARGIN: Duration = Duration::from_secs(5);

/// What one attempt does and remembers.
pub(super) struct Attempt<'a> {
    shared: &'a Shared,
    progress: &'a Progress,
    work: &'a Work,
    caller: Caller<'a>,
    emitter: Emitter,
    started_at: Timestamp,
    /// The form that the answer must have.
    form: Form,
    /// Which step of the plan is being tried.
    at: usize,
    /// The step that was asked as a hedge beside the one before it.
    hedged: Option<usize>,
    records: Vec<AttemptRecord>,
    served_by: Option<Step>,
    shown: ChatOutput,
    has_shown: bool,
    /// Deltas of an answer that is blank so far: published when it shows something, or is accepted.
    unsaid: Vec<ChatDelta>,
    held: Option<Held>,
    /// The last rejected answer.
    rejected: Option<ChatOutput>,
    has_asked_again: bool,
    bill: Bill,
    calling: Option<Running<'a>>,
    beside: Beside<'a>,
    first_event_ms: Option<u64>,
}

/// How often one step of the plan was tried, and why it failed.
#[derive(Default)]
struct Tries {
    failures: u32,
    throttled: u32,
    keys_lost: usize,
    said: Option<adapters::Error>,
    question: Option<Question>,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        progress: &'a Progress,
        work: &'a Work,
        emitter: Emitter,
        deadline: Instant,
    ) -> Self {
        let started_at = shared.outbox.now();
        Self {
            shared,
            progress,
            work,
            caller: Caller { shared, progress, work, attempt: emitter.next().0, deadline },
            emitter,
            started_at,
            form: Form::Any,
            at: 0,
            hedged: None,
            records: Vec::new(),
            served_by: None,
            shown: ChatOutput::default(),
            has_shown: false,
            unsaid: Vec::new(),
            held: None,
            rejected: None,
            has_asked_again: false,
            bill: Bill::default(),
            calling: None,
            beside: Beside::default(),
            first_event_ms: None,
        }
    }

    pub(super) fn records(&self) -> &[AttemptRecord] {
        &self.records
    }

    pub(super) const fn served_by(&self) -> Option<&Step> {
        self.served_by.as_ref()
    }

    pub(super) const fn started_at(&self) -> Timestamp {
        self.started_at
    }

    pub(super) const fn first_event_ms(&self) -> Option<u64> {
        self.first_event_ms
    }

    /// The answer that lacked the form asked for, if the request fails because of it.
    pub(super) fn rejected(&self) -> Option<&ChatOutput> {
        self.rejected.as_ref()
    }

    pub(super) const fn next_event(&self) -> (u32, u64) {
        self.emitter.next()
    }

    /// Publishes that what readers show of an earlier attempt is void. No other attempt has this number then.
    pub(super) async fn claim(&mut self) {
        self.progress.expect_within(self.shared.outbox.patience());
        self.emitter.claim(&self.shared.outbox, "the attempt before this one ended early").await;
        self.caller.attempt = self.emitter.next().0;
    }

    /// Publishes that what readers show is void.
    async fn tell_restarted(&mut self, reason: &str) {
        self.shown = ChatOutput::default();
        self.has_shown = false;
        self.unsaid.clear();
        self.emitter.emit(EventBody::Restarted { reason: reason.to_owned() }).await;
    }

    /// Goes down the plan. The error is that of the last provider asked.
    async fn ask(&mut self) -> Result<Box<Finished>, Error> {
        self.form = Form::of(self.work.request.action, &self.work.request.payload)?;
        let mut last = Error::new(ErrorCode::Internal, "the plan names no provider");
        while let Some(step) = self.step() {
            match self.try_provider(step).await {
                Ok(finished) => return Ok(finished),
                Err((error, remedy)) => {
                    last = error;
                    if remedy == Remedy::Fatal {
                        break;
                    }
                }
            }
            self.at += 1;
        }
        match self.held.take().filter(|_| self.may_take_back()) {
            Some(held) => Ok(self.tell_held(held).await),
            None => Err(last),
        }
    }

    /// The step of the plan that is being tried.
    fn step(&self) -> Option<&'a Step> {
        self.work.plan.steps.get(self.at)
    }

    async fn try_provider(&mut self, mut step: &'a Step) -> Result<Box<Finished>, (Error, Remedy)> {
        // A hedge that failed counts as a try.
        let failures = u32::from(self.hedged == Some(self.at));
        let mut tries = Tries { failures, ..Tries::default() };
        loop {
            let Some(adapter) = self.shared.registry.adapter(&step.provider) else {
                return Err((caller::unknown(step).to_public(), Remedy::FallBack));
            };
            self.served_by = Some(step.clone());
            let question = tries.question.as_ref().map(|question| &question.payload);
            let payload = question.unwrap_or(&self.work.request.payload);
            // Waiting in line, or for a broker that does not say what is left of a budget, is no stall.
            self.caller.expect_by_deadline();
            let hold = self.caller.hold(step, payload).await.map_err(|spent| (spent, Remedy::Fatal))?;
            let permit = match self.permit(step, payload).await {
                Ok(permit) => permit,
                Err(refusal) => {
                    let error = tries.said.unwrap_or_else(|| refusal.to_error(&step.provider));
                    return Err((error.to_public(), Remedy::FallBack));
                }
            };
            let called = self.call(step, (permit, hold), question).await;
            // The hedge may have answered in its place.
            if let Some(by) = self.step().filter(|by| *by != step) {
                (step, tries) = (by, Tries::default());
            }
            let error = match called {
                Ok(finished) => match self.judge(finished, step, &tries).await {
                    Judgement::Accepted(finished) => return Ok(finished),
                    Judgement::PassedOver(reason) => return Err((reason, Remedy::FallBack)),
                    Judgement::Rejected(reason) => return Err((reason, Remedy::Fatal)),
                    Judgement::AskAgain(question) => {
                        tries.failures += 1;
                        tries.question = Some(question);
                        continue;
                    }
                },
                Err(error) => error,
            };
            // The log gets the whole error; the client is told less.
            let (id, provider) = (&self.work.id, &step.provider);
            info!(%id, provider, %error, causes = error.causes(), remedy = ?error.remedy, "provider failed");
            let again = self.again(&error, step, &mut tries, adapter.keys());
            if self.has_shown && self.policy() == MidstreamFailure::Fail {
                return Err((error.to_public(), Remedy::Fatal));
            }
            let Some(delay) = again else { return Err(tries.end(error)) };
            tries.said = Some(error);
            self.caller.expect_by_deadline();
            sleep(delay).await;
        }
    }

    /// How long to wait before calling the same provider again after this error; `None`: do not call it again.
    fn again(
        &self,
        error: &adapters::Error,
        step: &Step,
        tries: &mut Tries,
        keys: usize,
    ) -> Option<Duration> {
        match error.remedy {
            Remedy::Throttle if tries.throttled < THROTTLED_MAX => {
                tries.throttled += 1;
                Some(Duration::ZERO)
            }
            // Another key is asked at once; if there is none, the governor says so.
            Remedy::DisableKey(_) if tries.keys_lost < keys => {
                tries.keys_lost += 1;
                Some(Duration::ZERO)
            }
            Remedy::Retry if tries.failures < self.shared.engine.retries && self.may_retry(step) => {
                tries.failures += 1;
                let delay = RETRY_BACKOFF.delay(tries.failures, self.shared.outbox.seams().fraction());
                Some(error.retry_after.map_or(delay, |after| after.max(delay)))
            }
            Remedy::Throttle | Remedy::Retry | Remedy::DisableKey(_) | Remedy::FallBack | Remedy::Fatal => {
                None
            }
        }
    }

    /// Waits in line for the right to call.
    async fn permit(&self, step: &Step, payload: &Value) -> Result<Permit, Refusal> {
        self.caller.permit(step, payload, self.work.plan.steps.last() == Some(step)).await
    }

    /// Whether a failed call of `step` is worth another one; not while nearly all of them fail.
    fn may_retry(&self, step: &Step) -> bool {
        self.shared.governors.get(&step.provider).is_none_or(|governor| governor.may_retry())
    }

    fn policy(&self) -> MidstreamFailure {
        self.work.request.route.on_midstream_failure.unwrap_or_default()
    }

    /// Before a call of `step`: if wanted and possible, the next answer continues what was shown of a broken one;
    /// otherwise what was shown is void, and readers are told.
    async fn take_up(&mut self, step: &Step) -> Option<String> {
        self.unsaid.clear();
        if !self.has_shown {
            self.shown = ChatOutput::default();
            return None;
        }
        let model = self.shared.registry.model(&step.provider, &step.model);
        let goes_on = self.policy() == MidstreamFailure::Continue
            && model.is_some_and(|model| model.abilities.continues);
        if let (true, Some(begun)) = (goes_on, midstream::beginning(&self.shown, &self.work.request.payload))
        {
            return Some(begun.to_owned());
        }
        self.tell_restarted("the provider's answer broke off").await;
        None
    }

    /// Calls `step`, or asks it the `question` that follows a rejected answer.
    async fn call(
        &mut self,
        step: &'a Step,
        (permit, hold): (Permit, Hold),
        question: Option<&Value>,
    ) -> Result<Box<Finished>, adapters::Error> {
        let begun = self.take_up(step).await;
        let payload = question.unwrap_or(&self.work.request.payload).clone();
        let hedge = match (&begun, question) {
            (None, None) => self.hedge(&payload),
            _ => None,
        };
        let payload = match &begun {
            None => payload,
            Some(begun) => midstream::continued(payload, begun),
        };
        let (provider, model) = (step.provider.clone(), step.model.clone());
        self.emitter.emit(EventBody::Running { provider, model }).await;
        let mut calling = self.caller.begin(step, permit, hold);
        self.runs(&mut calling);
        let mark = calling.mark;
        let opening = self.caller.open(calling, payload);
        let (mut calling, opened) = match hedge {
            Some(hedge) => Box::pin(self.race(mark, opening, hedge)).await?,
            None => {
                let (calling, opened) = opening.await;
                self.opened(calling, opened).await?
            }
        };
        let Mark { step, clock, .. } = calling.mark;
        let (total, span) = (self.shared.engine.total(), calling.span.clone());
        let listening = self.listen(&mut calling, opened).instrument(span);
        let called = timeout_at(clock + total, listening).await;
        let mut finished = match called.unwrap_or_else(|_| Err(stalled(step, total))) {
            Ok(finished) => finished,
            Err(error) => return Err(self.settle_failed(calling, error).await),
        };
        self.settle(calling, &finished);
        if let (Some(begun), Output::Chat(answer)) = (begun, &mut finished.output) {
            answer.text.insert_str(0, &begun);
        }
        Ok(finished)
    }

    /// Publishes the output of a call that has shown something; the call's own timeout bounds each silence.
    async fn listen(
        &mut self,
        calling: &mut Calling<'a>,
        opened: Opened,
    ) -> Result<Box<Finished>, adapters::Error> {
        let Calling { mark: Mark { step, clock, .. }, permit, .. } = calling;
        let Opened { mut first, rest: mut answer } = opened;
        let (_, silence) = self.caller.silences();
        let mut keep = Keep::new(self.shared, self.work, step);
        loop {
            match first {
                Answer::Started => {}
                Answer::Limits(limits) => permit.limits(limits),
                Answer::Delta(delta) => {
                    self.first_output(step, *clock, permit);
                    self.pass_on(delta).await;
                }
                Answer::Moved { fraction, message } => {
                    self.emitter.emit(EventBody::Progress { fraction, message }).await;
                }
                Answer::File(piece) => {
                    self.first_output(step, *clock, permit);
                    permit.heard(None);
                    // A broker that is slow to store the piece is no silence of the provider.
                    self.progress.expect_within(silence + CLOCK_MARGIN);
                    if let Some(running) = &mut self.calling {
                        running.has_made = true;
                    }
                    if let Some(asset) = keep.take(piece).await? {
                        self.has_shown = true;
                        self.emitter.emit(EventBody::Artifact { data: asset.clone() }).await;
                    }
                }
                Answer::Finished(mut finished) => {
                    self.first_output(step, *clock, permit);
                    keep.finish(&mut finished)?;
                    return Ok(finished);
                }
            }
            self.progress.expect_within(silence + CLOCK_MARGIN);
            let next = timeout(silence, answer.next()).await.map_err(|_| stalled(step, silence))?;
            first = next.transpose()?.ok_or_else(|| broken_off(step))?;
        }
    }

    /// A piece of the answer has come.
    async fn pass_on(&mut self, delta: ChatDelta) {
        self.shown.absorb(&delta);
        if !self.work.request.wants_stream() {
            return;
        }
        self.unsaid.push(delta);
        if worth::is_blank(&self.shown) {
            return;
        }
        self.has_shown = true;
        self.tell_unsaid().await;
    }

    async fn tell_unsaid(&mut self) {
        for delta in std::mem::take(&mut self.unsaid) {
            self.emitter.emit(EventBody::ChatDelta(delta)).await;
        }
    }

    fn first_output(&mut self, step: &Step, clock: Instant, permit: &mut Permit) {
        // An answer that is not streamed comes whole: its end says whether it was good, its duration only how long it
        // is.
        if self.work.request.wants_stream() {
            permit.heard(Some(clock.elapsed()));
        }
        if self.first_event_ms.is_none() {
            let took = clock.elapsed();
            self.first_event_ms = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            self.shared.metrics.first_event(&step.provider, &step.model, took);
            if self.work.request.wants_stream() {
                self.shared.measured.began(&step.provider, &step.model, took);
            }
        }
    }
}

impl Tries {
    /// The error of a provider that is not asked again. One that refuses the question after a rejected answer has
    /// answered nevertheless.
    fn end(self, error: adapters::Error) -> (Error, Remedy) {
        match self.question {
            Some(Question { reason, .. }) if error.remedy == Remedy::Fatal => (reason, Remedy::Fatal),
            _ => (error.to_public(), error.remedy),
        }
    }
}
