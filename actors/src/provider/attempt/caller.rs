//! Makes one call up to its first output: waits in line for it, and bounds its silence. It publishes nothing, so that
//! two calls may run beside each other.

use std::{sync::Arc, time::Duration};

use adapters::{Call, Needs, Progress as Answer, Progressed, Remedy};
use futures_util::StreamExt;
use jiff::Timestamp;
use schemas::{Error, ErrorCode, Step, Work, webhook::Place};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument, Span, debug_span};

use super::{CLOCK_MARGIN, RETRY_BACKOFF, account::Running};
use crate::{
    budgets::Hold,
    governor::{Need, Permit, Refusal},
    progress::Progress,
    provider::Shared,
};

/// The context that all calls of an attempt share.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) shared: &'a Shared,
    pub(super) progress: &'a Progress,
    pub(super) work: &'a Work,
    /// The number of the attempt.
    pub(super) attempt: u32,
    pub(super) deadline: Instant,
}

/// A call that has begun.
pub(super) struct Calling<'a> {
    pub(super) mark: Mark<'a>,
    pub(super) permit: Permit,
    hold: Hold,
    pub(super) span: Span,
}

impl<'a> Calling<'a> {
    /// The account of the call; `begun` letters of the answer were there before it.
    pub(super) fn running(&mut self, begun: usize) -> Running<'a> {
        Running { mark: self.mark, begun, has_made: false, hold: std::mem::take(&mut self.hold) }
    }
}

/// Who is called, and since when.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Mark<'a> {
    pub(super) step: &'a Step,
    pub(super) started_at: Timestamp,
    pub(super) clock: Instant,
}

/// The answer of a call, from its first output on.
pub(super) struct Opened {
    pub(super) first: Answer,
    pub(super) rest: Progressed,
}

/// A call that has shown something, or failed before it did.
pub(super) type Called<'a> = (Calling<'a>, Result<Opened, adapters::Error>);

impl<'a> Caller<'a> {
    /// Holds the most that a call of `step` may cost in the budgets of its tenant and its key. A model without a price
    /// costs nothing.
    pub(super) async fn hold(&self, step: &Step, payload: &Value) -> Result<Hold, Error> {
        let model = self.shared.registry.model(&step.provider, &step.model);
        let needs = |model| Needs::of(self.work.request.action, payload, None).cost_usd_max(model);
        let Some(cost_usd) = model.and_then(needs) else { return Ok(Hold::default()) };
        self.shared.budgets.hold(&self.work.tenant, self.work.request.sent_by.as_ref(), cost_usd).await
    }

    /// Waits in line for the right to call `step` with `payload`. `is_last`: no other provider is left to ask.
    pub(super) async fn permit(
        &self,
        step: &Step,
        payload: &Value,
        is_last: bool,
    ) -> Result<Permit, Refusal> {
        let need = Need::of(step, payload, self.deadline);
        loop {
            // Without a governor (it is being restarted) the line forms again at its successor.
            let refusal = match self.shared.governors.get(&step.provider) {
                Some(governor) => match governor.permit(need.clone()).await {
                    Ok(permit) => return Ok(permit),
                    Err(refusal) => refusal,
                },
                None => Refusal::Gone,
            };
            let pause = match refusal {
                Refusal::Gone => RETRY_BACKOFF.delay(1, 1.0),
                // The work waits until the provider recovers.
                Refusal::Open { retry_after } if is_last => retry_after,
                Refusal::Open { .. } | Refusal::Busy { .. } | Refusal::NoKey(_) => return Err(refusal),
            };
            sleep(pause).await;
        }
    }

    /// A call of `step` begins now.
    pub(super) fn begin(&self, step: &'a Step, permit: Permit, mut hold: Hold) -> Calling<'a> {
        hold.begin();
        let started_at = self.shared.outbox.seams().clock.now();
        let span = debug_span!("provider", otel.name = step.provider, model = step.model);
        Calling { mark: Mark { step, started_at, clock: Instant::now() }, permit, hold, span }
    }

    /// Calls, and listens until the first output that can be shown.
    pub(super) async fn open(self, mut calling: Calling<'a>, payload: Value) -> Called<'a> {
        let (step, span) = (calling.mark.step, calling.span.clone());
        let (silence, _) = self.silences();
        self.progress.expect_within(silence + CLOCK_MARGIN);
        let opening = self.listen_for_first(&mut calling, payload).instrument(span);
        let opened = timeout(silence, opening).await.unwrap_or_else(|_| Err(stalled(step, silence)));
        (calling, opened)
    }

    async fn listen_for_first(
        &self,
        calling: &mut Calling<'a>,
        payload: Value,
    ) -> Result<Opened, adapters::Error> {
        let step = calling.mark.step;
        let adapter = self.shared.registry.adapter(&step.provider).ok_or_else(|| unknown(step))?;
        let mut rest = adapter.call(self.request(step, calling.permit.key(), payload)).await?;
        loop {
            match rest.next().await.transpose()?.ok_or_else(|| broken_off(step))? {
                Answer::Started => {}
                Answer::Limits(limits) => calling.permit.limits(limits),
                first => return Ok(Opened { first, rest }),
            }
        }
    }

    /// The longest silence before the first output, and between two outputs. A call that is not streamed gives no sign
    /// of life before its end.
    pub(super) fn silences(&self) -> (Duration, Duration) {
        let engine = &self.shared.engine;
        match self.work.request.wants_stream() {
            true => (engine.first_event().min(engine.total()), engine.between_events()),
            false => (engine.total(), engine.total()),
        }
    }

    /// The next sign of life may come as late as the deadline.
    pub(super) fn expect_by_deadline(&self) {
        self.progress.expect_within(self.deadline.saturating_duration_since(Instant::now()) + CLOCK_MARGIN);
    }

    fn request(&self, step: &Step, key: usize, payload: Value) -> Call {
        let mut headers = broker::Headers::new();
        broker::trace::inject(&mut headers);
        Call {
            action: self.work.request.action,
            model: step.model.clone(),
            payload,
            deadline: self.deadline,
            idempotency_key: format!("{}.{}", self.work.tenant, self.work.id),
            key,
            traceparent: headers.get(broker::message::TRACEPARENT).map(Into::into),
            webhook: self.webhook(step),
        }
    }

    /// Where the provider may report the end of this call: a place that no other call has.
    fn webhook(&self, step: &Step) -> Option<Arc<dyn adapters::Webhook>> {
        let webhooks = self.shared.webhooks.as_ref()?;
        let place = Place {
            tenant: self.work.tenant.clone(),
            id: self.work.id.clone(),
            attempt: self.attempt,
            call: self.shared.outbox.seams().random.next_u64(),
            // The registry accepts valid names only.
            provider: step.provider.parse().ok()?,
        };
        Some(webhooks.of(&place))
    }
}

pub(super) fn unknown(step: &Step) -> adapters::Error {
    let (code, why) = (ErrorCode::ProviderUnavailable, "is not configured any more");
    adapters::Error::new(&step.provider, code, Remedy::FallBack, why)
}

pub(super) fn broken_off(step: &Step) -> adapters::Error {
    let why = "the answer ended before it was complete";
    adapters::Error::new(&step.provider, ErrorCode::ProviderError, Remedy::Retry, why)
}

pub(super) fn stalled(step: &Step, silence: Duration) -> adapters::Error {
    let why = format!("no sign of life for {silence:?}");
    adapters::Error::new(&step.provider, ErrorCode::Stalled, Remedy::Retry, why)
}
