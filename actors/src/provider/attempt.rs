//! One attempt at a piece of work: down the plan, with retries, until a provider answers or nobody will.

use std::time::Duration;

use adapters::{Adapter, Call, Finished, Price, Progress as Answer, Progressed, Remedy, estimate};
use futures_util::StreamExt;
use jiff::Timestamp;
use schemas::{
    AttemptRecord, ChatOutput, Error, ErrorCode, EventBody, MidstreamFailure, Output, Step, Usage, Work,
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument, debug, info_span};

use super::{Shared, bill::Bill, keep::Keep, midstream};
use crate::{
    backoff::Backoff,
    emitter::Emitter,
    governor::{End, Need, Permit, Refusal},
    progress::Progress,
};

/// Between two calls of a provider that failed.
const RETRY_BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
/// How often one attempt waits for a provider that throttles; the deadline bounds it too.
const THROTTLED_MAX: u32 = 20;
/// A silence is ended by the call's own clock before the watcher of the lease sees it.
const CLOCK_MARGIN: Duration = Duration::from_secs(5);
/// Letters a token has, where a provider says nothing of the tokens of a broken answer.
const LETTERS_PER_TOKEN: u64 = 4;

/// What one attempt does and remembers.
pub(super) struct Attempt<'a> {
    shared: &'a Shared,
    progress: &'a Progress,
    work: &'a Work,
    emitter: Emitter,
    started_at: Timestamp,
    records: Vec<AttemptRecord>,
    served_by: Option<Step>,
    shown: ChatOutput,
    has_shown: bool,
    bill: Bill,
    calling: Option<Calling>,
    first_event_ms: Option<u64>,
}

/// The call that runs.
struct Calling {
    step: Step,
    started_at: Timestamp,
    /// How many letters of the answer were there before it.
    begun: usize,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(shared: &'a Shared, progress: &'a Progress, work: &'a Work, emitter: Emitter) -> Self {
        let started_at = shared.outbox.now();
        Self {
            shared,
            progress,
            work,
            emitter,
            started_at,
            records: Vec::new(),
            served_by: None,
            shown: ChatOutput::default(),
            has_shown: false,
            bill: Bill::default(),
            calling: None,
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

    pub(super) const fn next_event(&self) -> (u32, u64) {
        self.emitter.next()
    }

    /// What its calls have used and cost.
    pub(super) const fn bill(&self) -> Bill {
        self.bill
    }

    /// The request has come to its end for this reason, whatever runs: a call that does has used what can be told of it.
    pub(super) fn cut(&mut self, why: Option<&Error>) {
        if let Some(calling) = self.calling.take() {
            let usage = self.usage_of_broken(calling.begun);
            self.charge(calling, usage, false, why.cloned());
        }
    }

    /// A call has ended: what it used goes on the bill and into the records.
    fn charge(&mut self, calling: Calling, usage: Usage, has_finished: bool, error: Option<Error>) {
        let Calling { step, started_at, .. } = calling;
        let cost_usd = self.bill.add(&usage, self.price_of(&step, &usage, has_finished));
        self.shared.metrics.used(&step.provider, &step.model, &usage, cost_usd);
        self.records.push(AttemptRecord {
            attempt: self.emitter.next().0,
            provider: step.provider,
            model: step.model,
            started_at,
            ended_at: self.shared.outbox.seams().clock.now(),
            usage,
            cost_usd,
            error,
        });
    }

    /// What a call has used whose answer did not come to its end, as far as it can be told. `begun`: how many letters
    /// were there before it.
    fn usage_of_broken(&self, begun: usize) -> Usage {
        let letters = self.letters().saturating_sub(begun) as u64;
        if letters == 0 {
            return Usage::default();
        }
        Usage {
            input_tokens: estimate::input(&self.work.request.payload),
            output_tokens: letters.div_ceil(LETTERS_PER_TOKEN),
            estimated: true,
            ..Usage::default()
        }
    }

    /// How much of the answer has come.
    fn letters(&self) -> usize {
        self.shown.choices().map(|choice| choice.text.len() + choice.reasoning.len()).sum()
    }

    /// What such a call costs, where that is known. One that was refused before it used anything costs nothing.
    fn price_of(&self, step: &Step, usage: &Usage, has_finished: bool) -> Option<&'a Price> {
        let price = self.shared.registry.model(&step.provider, &step.model)?.price.as_ref();
        price.filter(|_| has_finished || *usage != Usage::default())
    }

    /// Tells readers that what they show of an attempt before this one is void. No other attempt has this number then.
    pub(super) async fn claim(&mut self) {
        self.progress.expect_within(self.shared.outbox.patience());
        self.emitter.claim(&self.shared.outbox, "the attempt before this one ended early").await;
    }

    /// Tells readers that what they show is void.
    async fn tell_restarted(&mut self, reason: &str) {
        self.shown = ChatOutput::default();
        self.has_shown = false;
        self.emitter.emit(EventBody::Restarted { reason: reason.to_owned() }).await;
    }

    /// Goes down the plan. The error is that of the last provider that was asked.
    pub(super) async fn run(&mut self, deadline: Instant) -> Result<Box<Finished>, Error> {
        let mut last = Error::new(ErrorCode::Internal, "the plan names no provider");
        for step in &self.work.plan.steps {
            match self.try_provider(step, deadline).await {
                Ok(finished) => return Ok(finished),
                Err((error, Remedy::Fatal)) => return Err(error),
                Err((error, _)) => last = error,
            }
        }
        Err(last)
    }

    async fn try_provider(
        &mut self,
        step: &Step,
        deadline: Instant,
    ) -> Result<Box<Finished>, (Error, Remedy)> {
        let Some(adapter) = self.shared.registry.adapter(&step.provider) else {
            let why = format!("the provider `{}` is not configured any more", step.provider);
            return Err((Error::new(ErrorCode::ProviderUnavailable, why), Remedy::FallBack));
        };
        self.served_by = Some(step.clone());
        let (mut failures, mut throttled, mut keys_lost) = (0, 0, 0);
        let mut said = None;
        loop {
            let permit = match self.permit(step, deadline).await {
                Ok(permit) => permit,
                Err(refusal) => {
                    let error = said.unwrap_or_else(|| refusal.to_error(&step.provider));
                    return Err((error.to_public(), Remedy::FallBack));
                }
            };
            let key = permit.key();
            let called = self.call(&*adapter, step, deadline, permit).await;
            let error = match called {
                Ok(finished) => return Ok(finished),
                Err(error) => error,
            };
            debug!(%error, remedy = ?error.remedy, "provider failed");
            let again = match error.remedy {
                Remedy::Throttle if throttled < THROTTLED_MAX => {
                    throttled += 1;
                    if let Some(pause) = error.retry_after {
                        self.shared.closings.close(&step.provider, key, pause).await;
                    }
                    Some(Duration::ZERO)
                }
                // Another key is asked at once; where there is none, the governor says so.
                Remedy::DisableKey(_) if keys_lost < adapter.keys() => {
                    keys_lost += 1;
                    Some(Duration::ZERO)
                }
                Remedy::Retry if failures < self.shared.engine.retries && self.may_retry(step) => {
                    failures += 1;
                    let delay = RETRY_BACKOFF.delay(failures, self.shared.outbox.seams().fraction());
                    Some(error.retry_after.map_or(delay, |after| after.max(delay)))
                }
                Remedy::Throttle
                | Remedy::Retry
                | Remedy::DisableKey(_)
                | Remedy::FallBack
                | Remedy::Fatal => None,
            };
            if self.has_shown && self.policy() == MidstreamFailure::Fail {
                return Err((error.to_public(), Remedy::Fatal));
            }
            let Some(delay) = again else { return Err((error.to_public(), error.remedy)) };
            said = Some(error);
            self.expect_by(deadline);
            sleep(delay).await;
        }
    }

    /// Waits in line for the right to call; waiting there is no stall.
    async fn permit(&self, step: &Step, deadline: Instant) -> Result<Permit, Refusal> {
        self.expect_by(deadline);
        let need = Need::of(step, &self.work.request.payload, deadline);
        loop {
            // Without a governor (it is being restarted) the line forms again at the next one.
            let refusal = match self.shared.governors.get(&step.provider) {
                Some(governor) => match governor.permit(need.clone()).await {
                    Ok(permit) => return Ok(permit),
                    Err(refusal) => refusal,
                },
                None => Refusal::Gone,
            };
            let pause = match refusal {
                Refusal::Gone => RETRY_BACKOFF.delay(1, 1.0),
                // There is nobody else to ask: the work waits until the provider is better.
                Refusal::Open { retry_after } if self.work.plan.steps.last() == Some(step) => retry_after,
                Refusal::Open { .. } | Refusal::Busy { .. } | Refusal::NoKey(_) => return Err(refusal),
            };
            sleep(pause).await;
        }
    }

    /// Whether a failed call of `step` is worth another one; not while nearly all of them fail.
    fn may_retry(&self, step: &Step) -> bool {
        self.shared.governors.get(&step.provider).is_none_or(|governor| governor.may_retry())
    }

    fn expect_by(&self, deadline: Instant) {
        self.progress.expect_within(deadline.saturating_duration_since(Instant::now()) + CLOCK_MARGIN);
    }

    fn policy(&self) -> MidstreamFailure {
        self.work.request.route.on_midstream_failure.unwrap_or_default()
    }

    /// Before a call of `step`: what was shown of an answer that broke off is the beginning of the next one, where that is
    /// wanted and can be; else it is void, and readers are told.
    async fn take_up(&mut self, step: &Step) -> Option<String> {
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

    async fn call(
        &mut self,
        adapter: &dyn Adapter,
        step: &Step,
        deadline: Instant,
        mut permit: Permit,
    ) -> Result<Box<Finished>, adapters::Error> {
        let begun = self.take_up(step).await;
        let (started_at, clock) = (self.shared.outbox.seams().clock.now(), Instant::now());
        self.calling = Some(Calling { step: step.clone(), started_at, begun: self.letters() });
        let running = EventBody::Running { provider: step.provider.clone(), model: step.model.clone() };
        self.emitter.emit(running).await;
        let span = info_span!("provider", otel.name = step.provider, model = step.model);
        let total = self.shared.engine.total();
        let listening =
            self.listen(adapter, step, deadline, clock, &mut permit, begun.as_deref()).instrument(span);
        let mut called = timeout(total, listening).await.unwrap_or_else(|_| Err(stalled(step, total)));
        permit.settle(End::of(&called));
        let result = called.as_ref().map_or_else(|error| error.code.as_str(), |_| "ok");
        self.shared.metrics.call(&step.provider, &step.model, result, clock.elapsed());
        if let Some(calling) = self.calling.take() {
            let broken = |_: &adapters::Error| self.usage_of_broken(calling.begun);
            let usage = called.as_ref().map_or_else(broken, |finished| finished.usage);
            let error = called.as_ref().err().map(adapters::Error::to_public);
            self.charge(calling, usage, called.is_ok(), error);
        }
        if let (Ok(finished), Some(begun)) = (&mut called, begun)
            && let Output::Chat(answer) = &mut finished.output
        {
            answer.text.insert_str(0, &begun);
        }
        called
    }

    /// Calls, and passes on what comes, each silence bounded by its own clock.
    async fn listen(
        &mut self,
        adapter: &dyn Adapter,
        step: &Step,
        deadline: Instant,
        clock: Instant,
        permit: &mut Permit,
        begun: Option<&str>,
    ) -> Result<Box<Finished>, adapters::Error> {
        let engine = &self.shared.engine;
        // What is not streamed gives no sign of life before its end.
        let (first, between) = match self.work.request.wants_stream() {
            true => (engine.first_event(), engine.between_events()),
            false => (engine.total(), engine.total()),
        };
        let mut keep = Keep::new(self.shared, self.work, step);
        self.progress.expect_within(first + CLOCK_MARGIN);
        let called = timeout(first, adapter.call(self.request(step, deadline, permit.key(), begun))).await;
        let mut answer: Progressed = called.map_err(|_| stalled(step, first))??;
        let mut silence = first.saturating_sub(clock.elapsed());
        loop {
            self.progress.expect_within(silence + CLOCK_MARGIN);
            let next = timeout(silence, answer.next()).await.map_err(|_| stalled(step, silence))?;
            match next.transpose()? {
                Some(Answer::Started) => continue,
                Some(Answer::Limits(limits)) => {
                    permit.limits(limits);
                    continue;
                }
                Some(Answer::Delta(delta)) => {
                    self.first_output(step, clock, permit);
                    self.shown.absorb(&delta);
                    if self.work.request.wants_stream() {
                        self.has_shown = true;
                        self.emitter.emit(EventBody::ChatDelta(delta)).await;
                    }
                }
                Some(Answer::Moved { fraction, message }) => {
                    self.emitter.emit(EventBody::Progress { fraction, message }).await;
                }
                Some(Answer::File(piece)) => {
                    self.first_output(step, clock, permit);
                    // A broker that is slow to store it is no silence of the provider.
                    self.progress.expect_within(between + CLOCK_MARGIN);
                    if let Some(asset) = keep.take(piece).await? {
                        self.has_shown = true;
                        self.emitter.emit(EventBody::Artifact { data: asset.clone() }).await;
                    }
                }
                Some(Answer::Finished(mut finished)) => {
                    self.first_output(step, clock, permit);
                    keep.finish(&mut finished)?;
                    return Ok(finished);
                }
                None => {
                    let why = "the answer ended before it was complete";
                    return Err(adapters::Error::new(
                        &step.provider,
                        ErrorCode::ProviderError,
                        Remedy::Retry,
                        why,
                    ));
                }
            }
            silence = between;
        }
    }

    fn first_output(&mut self, step: &Step, clock: Instant, permit: &mut Permit) {
        // Of what is not streamed the whole answer is the first output: how long it took says how long it is.
        permit.heard(self.work.request.wants_stream().then(|| clock.elapsed()));
        if self.first_event_ms.is_none() {
            let took = clock.elapsed();
            self.first_event_ms = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            self.shared.metrics.first_event(&step.provider, &step.model, took);
            if self.work.request.wants_stream() {
                self.shared.measured.began(&step.provider, &step.model, took);
            }
        }
    }

    fn request(&self, step: &Step, deadline: Instant, key: usize, begun: Option<&str>) -> Call {
        let mut headers = broker::Headers::new();
        broker::trace::inject(&mut headers);
        Call {
            action: self.work.request.action,
            model: step.model.clone(),
            payload: match begun {
                None => self.work.request.payload.clone(),
                Some(begun) => midstream::continued(self.work.request.payload.clone(), begun),
            },
            deadline,
            idempotency_key: format!("{}.{}", self.work.tenant, self.work.id),
            key,
            traceparent: headers.get(broker::message::TRACEPARENT).map(Into::into),
        }
    }
}

fn stalled(step: &Step, silence: Duration) -> adapters::Error {
    let why = format!("no sign of life for {silence:?}");
    adapters::Error::new(&step.provider, ErrorCode::Stalled, Remedy::Retry, why)
}
