//! Makes a second call beside the first, to the next step of the plan, if the first is silent for too long. The call
//! that shows something first is the answer; the other is cancelled, and paid for as far as its usage can be told.

use std::{
    future::{Future, pending},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use adapters::{Remedy, estimate};
use schemas::{Error, ErrorCode, EventBody, Step, Usage};
use serde_json::Value;
use tokio::time::sleep;

use super::{
    Attempt,
    account::Beside,
    caller::{Called, Caller, Calling, Mark, Opened},
};

/// Whom to ask beside a silent call.
pub(super) struct Hedge<'a> {
    /// How long the first must be silent.
    after: Duration,
    /// The silent step.
    first: &'a Step,
    /// The step to ask.
    second: &'a Step,
    payload: Value,
}

impl<'a> Attempt<'a> {
    /// The hedge for the call that begins, if the request wants one. It counts as a retry of the step that it asks, so
    /// that hedging calls nobody more often.
    pub(super) fn hedge(&self, payload: &Value) -> Option<Hedge<'a>> {
        let after = Duration::from_millis(self.work.request.route.hedge_ms?);
        let (first, second) = (self.step()?, self.work.plan.steps.get(self.at + 1)?);
        let may = self.hedged.is_none() && self.shared.engine.retries > 0 && first != second;
        may.then(|| Hedge { after, first, second, payload: payload.clone() })
    }

    /// The call that shows something first: `opening`, of the step being tried, or that of `hedge`. An error is that of
    /// `opening`; every call that is over has been settled.
    pub(super) async fn race(
        &mut self,
        first: Mark<'a>,
        opening: impl Future<Output = Called<'a>> + Send,
        hedge: Hedge<'a>,
    ) -> Result<(Calling<'a>, Opened), adapters::Error> {
        let beside = self.caller.beside(hedge, self.letters(), Arc::clone(&self.beside));
        let (mut opening, mut beside) = (pin!(opening), pin!(beside));
        let (is_first, (calling, opened)) = tokio::select! {
            biased;
            called = &mut opening => (true, called),
            called = &mut beside => (false, called),
        };
        let second = self.beside.lock().as_ref().map(|running| running.mark);
        self.hedged = second.map(|_| self.at + 1);
        match (opened, second) {
            (Ok(opened), second) if is_first => {
                second.into_iter().for_each(|second| self.outran(second));
                Ok((calling, opened))
            }
            (Ok(opened), _) => {
                self.outran(first);
                Ok((self.take_over(calling).await, opened))
            }
            (Err(error), _) if !is_first => {
                self.settle_failed(calling, error).await;
                let (calling, opened) = opening.await;
                self.opened(calling, opened).await
            }
            (Err(error), Some(second)) if error.remedy == Remedy::Fatal => {
                self.outran(second);
                Err(self.settle_failed(calling, error).await)
            }
            (Err(error), None) => Err(self.settle_failed(calling, error).await),
            (Err(error), Some(_)) => {
                let error = self.settle_failed(calling, error).await;
                match beside.await {
                    (calling, Ok(opened)) => Ok((self.take_over(calling).await, opened)),
                    (calling, Err(of_second)) => {
                        self.settle_failed(calling, of_second).await;
                        Err(error)
                    }
                }
            }
        }
    }

    /// Moves to the next step of the plan: its call has answered first.
    async fn take_over(&mut self, calling: Calling<'a>) -> Calling<'a> {
        self.at += 1;
        self.calling = self.ended(calling.mark);
        let Step { provider, model } = calling.mark.step.clone();
        self.served_by = Some(calling.mark.step.clone());
        self.emitter.emit(EventBody::Running { provider, model }).await;
        calling
    }

    /// Gives up a call because the one beside it was quicker. Its provider may have read the question: it counts.
    fn outran(&mut self, loser: Mark<'a>) {
        let Step { provider, model } = loser.step;
        let took = loser.clock.elapsed();
        self.shared.metrics.call(provider, model, ErrorCode::Cancelled.as_str(), took);
        if self.work.request.wants_stream() {
            self.shared.measured.outran(provider, model, took);
        }
        let usage = Usage {
            input_tokens: estimate::input(&self.work.request.payload),
            estimated: true,
            ..Usage::default()
        };
        let why =
            format!("{provider}: cancelled, because another provider that was asked beside it was quicker");
        if let Some(running) = self.ended(loser) {
            self.record(running, usage, false, Some(Error::new(ErrorCode::Cancelled, why)));
        }
    }
}

impl<'a> Caller<'a> {
    /// The hedge call, made when it is due and accounted in `beside` from its beginning. If it may not be made, this
    /// never resolves. `begun` letters of the answer were there before it.
    async fn beside(self, hedge: Hedge<'a>, begun: usize, beside: Beside<'a>) -> Called<'a> {
        let Hedge { after, first, second, payload } = hedge;
        sleep(after).await;
        // If the first provider nearly always fails, or many of its calls were hedged, there is no call to spare.
        let governor = self.shared.governors.get(&first.provider);
        let may_hedge = governor.as_ref().is_none_or(|governor| governor.may_retry());
        let held = match may_hedge {
            true => self.hold(second, &payload).await.ok(),
            false => None,
        };
        let Some(hold) = held else { return pending().await };
        let permit = self.permit(second, &payload, false).await.ok();
        let permit = permit.filter(|_| governor.is_none_or(|governor| governor.spend_retry()));
        let Some(permit) = permit else {
            drop(hold);
            return pending().await;
        };
        let mut calling = self.begin(second, permit, hold);
        *beside.lock() = Some(calling.running(begun));
        self.open(calling, payload).await
    }
}
