//! Accounts for the calls of an attempt: their records, and what they have used and cost.

use std::sync::Arc;

use adapters::{Finished, Price, Remedy, estimate};
use parking_lot::Mutex;
use schemas::{AttemptRecord, ChatOutput, Error, Step, Usage, chat::ToolCall};

use super::{
    Attempt,
    caller::{Calling, Mark, Opened},
};
use crate::{budgets::Hold, governor::End, provider::bill::Bill};

/// Letters per token, if a provider does not report the tokens of a broken answer.
const LETTERS_PER_TOKEN: u64 = 4;

/// A call that has begun, and the money held for it.
pub(super) struct Running<'a> {
    pub(super) mark: Mark<'a>,
    /// How many letters of the answer were there before this call.
    pub(super) begun: usize,
    /// The call made something that nobody can count: unless it finishes, all that is held for it is spent.
    pub(super) has_made: bool,
    pub(super) hold: Hold,
}

/// The hedge call, while it runs beside the other.
pub(super) type Beside<'a> = Arc<Mutex<Option<Running<'a>>>>;

impl<'a> Attempt<'a> {
    /// The usage and cost of the attempt's calls.
    pub(in crate::provider) const fn bill(&self) -> Bill {
        self.bill
    }

    /// From now on this call's answer is shown.
    pub(super) fn runs(&mut self, calling: &mut Calling<'a>) {
        self.calling = Some(calling.running(self.letters()));
    }

    /// A call no longer runs; returns its account, if it ran.
    pub(super) fn ended(&mut self, mark: Mark<'a>) -> Option<Running<'a>> {
        let is_it = |running: &mut Running<'a>| running.mark == mark;
        self.calling.take_if(is_it).or_else(|| self.beside.lock().take_if(is_it))
    }

    /// The request has ended for this reason: records each call that still runs, with what can be told of its usage.
    pub(in crate::provider) fn cut(&mut self, why: Option<&Error>) {
        let beside = self.beside.lock().take();
        for running in self.calling.take().into_iter().chain(beside) {
            let usage = self.usage_of_broken(running.begun);
            self.record(running, usage, false, why.cloned());
        }
    }

    /// The usage of a call whose answer broke off, as far as it can be told. `begun`: how many letters were there
    /// before the call.
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
    pub(super) fn letters(&self) -> usize {
        let of_call = |call: &ToolCall| call.name.len() + call.arguments.len();
        let of_choice = |choice: &ChatOutput| {
            let said = choice.text.len() + choice.reasoning.len() + choice.refusal.len();
            said + choice.tool_calls.iter().map(of_call).sum::<usize>()
        };
        self.shown.choices().map(of_choice).sum()
    }

    /// The price of such a call, if known. A call refused before it used anything costs nothing.
    fn price_of(&self, step: &Step, usage: &Usage, has_finished: bool) -> Option<&'a Price> {
        let price = self.shared.registry.model(&step.provider, &step.model)?.price.as_ref();
        price.filter(|_| has_finished || *usage != Usage::default())
    }

    /// A call that has shown something goes on; one that failed before is over.
    pub(super) async fn opened(
        &mut self,
        calling: Calling<'a>,
        opened: Result<Opened, adapters::Error>,
    ) -> Result<(Calling<'a>, Opened), adapters::Error> {
        match opened {
            Ok(opened) => Ok((calling, opened)),
            Err(error) => Err(self.settle_failed(calling, error).await),
        }
    }

    /// A call has been answered.
    pub(super) fn settle(&mut self, calling: Calling<'a>, finished: &Finished) {
        let Calling { mark, permit, .. } = calling;
        permit.settle(End::answered(&finished.usage));
        self.shared.metrics.call(&mark.step.provider, &mark.step.model, "ok", mark.clock.elapsed());
        if let Some(running) = self.ended(mark) {
            self.record(running, finished.usage, true, None);
        }
    }

    /// A call has failed; returns the error.
    pub(super) async fn settle_failed(
        &mut self,
        calling: Calling<'a>,
        error: adapters::Error,
    ) -> adapters::Error {
        let Calling { mark, permit, .. } = calling;
        let (Step { provider, model }, key) = (mark.step, permit.key());
        permit.settle(End::failed(&error));
        self.shared.metrics.call(provider, model, error.code.as_str(), mark.clock.elapsed());
        if let Some(running) = self.ended(mark) {
            let usage = self.usage_of_broken(running.begun);
            self.record(running, usage, false, Some(error.to_public()));
        }
        if let (Remedy::Throttle, Some(pause)) = (error.remedy, error.retry_after) {
            self.shared.closings.close(provider, key, pause).await;
        }
        error
    }

    /// Records a call that is over, and its price.
    pub(super) fn record(
        &mut self,
        running: Running<'a>,
        usage: Usage,
        has_finished: bool,
        error: Option<Error>,
    ) {
        let Running { mark: Mark { step, started_at, .. }, has_made, hold, .. } = running;

        let cost_usd = self.bill.add(&usage, self.price_of(step, &usage, has_finished));
        self.shared.metrics.used(&step.provider, &step.model, &usage, cost_usd);
        if has_finished || !has_made {
            hold.settle(cost_usd.unwrap_or(0.0));
        }
        self.records.push(AttemptRecord {
            attempt: self.emitter.next().0,
            provider: step.provider.clone(),
            model: step.model.clone(),
            started_at,
            ended_at: self.shared.outbox.seams().clock.now(),
            usage,
            cost_usd,
            error,
        });
    }
}
