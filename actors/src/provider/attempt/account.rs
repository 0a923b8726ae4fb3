//! What the calls of an attempt have come to: their records, and what they have used and cost.

use std::sync::Arc;

use adapters::{Finished, Price, Remedy, estimate};
use parking_lot::Mutex;
use schemas::{AttemptRecord, ChatOutput, Error, Step, Usage, chat::ToolCall};

use super::{
    Attempt,
    caller::{Calling, Mark, Opened},
};
use crate::{budgets::Hold, governor::End, provider::bill::Bill};

/// Letters a token has, where a provider says nothing of the tokens of a broken answer.
const LETTERS_PER_TOKEN: u64 = 4;

/// A call that has begun, and what is held for it.
pub(super) struct Running<'a> {
    pub(super) mark: Mark<'a>,
    /// How many letters of the answer were there before it.
    pub(super) begun: usize,
    /// Something was made that nobody can count: all that is held for it is spent, if it does not come to its end.
    pub(super) has_made: bool,
    pub(super) hold: Hold,
}

/// The call of a hedge, for as long as it runs beside the other.
pub(super) type Beside<'a> = Arc<Mutex<Option<Running<'a>>>>;

impl<'a> Attempt<'a> {
    /// What its calls have used and cost.
    pub(in crate::provider) const fn bill(&self) -> Bill {
        self.bill
    }

    /// A call is the one whose answer is shown.
    pub(super) fn runs(&mut self, calling: &mut Calling<'a>) {
        self.calling = Some(calling.running(self.letters()));
    }

    /// A call is no longer one that runs; what there is of it.
    pub(super) fn ended(&mut self, mark: Mark<'a>) -> Option<Running<'a>> {
        let is_it = |running: &mut Running<'a>| running.mark == mark;
        self.calling.take_if(is_it).or_else(|| self.beside.lock().take_if(is_it))
    }

    /// The request has come to its end for this reason, whatever runs: a call that does has used what can be told of it.
    pub(in crate::provider) fn cut(&mut self, why: Option<&Error>) {
        let beside = self.beside.lock().take();
        for running in self.calling.take().into_iter().chain(beside) {
            let usage = self.usage_of_broken(running.begun);
            self.record(running, usage, false, why.cloned());
        }
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
    pub(super) fn letters(&self) -> usize {
        let of_call = |call: &ToolCall| call.name.len() + call.arguments.len();
        let of_choice = |choice: &ChatOutput| {
            let said = choice.text.len() + choice.reasoning.len() + choice.refusal.len();
            said + choice.tool_calls.iter().map(of_call).sum::<usize>()
        };
        self.shown.choices().map(of_choice).sum()
    }

    /// What such a call costs, where that is known. One that was refused before it used anything costs nothing.
    fn price_of(&self, step: &Step, usage: &Usage, has_finished: bool) -> Option<&'a Price> {
        let price = self.shared.registry.model(&step.provider, &step.model)?.price.as_ref();
        price.filter(|_| has_finished || *usage != Usage::default())
    }

    /// A call that has shown something goes on; one that has failed before is over.
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

    /// A call has failed; returns why.
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

    /// A call is over and has its price.
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
