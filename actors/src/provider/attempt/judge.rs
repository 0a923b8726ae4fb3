//! Decides what becomes of a whole answer: it is accepted, or another one is asked for, or the request fails.

use adapters::Finished;
use schemas::{
    ChatDelta, ChatOutput, Error, ErrorCode, MidstreamFailure, Output, Step, Unanswered, chat::ToolCallDelta,
};
use serde_json::Value;

use super::{Attempt, Tries};
use crate::{
    form::Flaw,
    provider::worth::{self, Worth},
};

/// The longest piece, in bytes, in which an answer that came whole is shown.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// What becomes of an answer.
pub(super) enum Judgement {
    /// It is the answer.
    Accepted(Box<Finished>),
    /// The same model is asked again.
    AskAgain(Question),
    /// The next provider is asked.
    PassedOver(Error),
    /// The request fails.
    Rejected(Error),
}

/// The question that follows a rejected answer.
pub(super) struct Question {
    pub(super) payload: Value,
    /// Why it is asked.
    pub(super) reason: Error,
}

/// An answer that answers nothing; it stands if no provider has a better one.
pub(super) struct Held {
    finished: Box<Finished>,
    by: Step,
}

impl Attempt<'_> {
    /// What becomes of the whole answer of `step`.
    pub(super) async fn judge(
        &mut self,
        mut finished: Box<Finished>,
        step: &Step,
        tries: &Tries,
    ) -> Judgement {
        let Output::Chat(answer) = &finished.output else { return Judgement::Accepted(finished) };
        let route = &self.work.request.route;
        match worth::weigh(&self.form, answer) {
            Worth::Good => self.accept(finished).await,
            Worth::Mended(_) if !self.may_take_back() => {
                let reason =
                    failed(step, "the answer has text around its JSON, and the client has already seen it");
                self.reject(answer.clone(), reason)
            }
            Worth::Mended(mended) => {
                if self.has_shown {
                    self.tell_restarted("the answer is sent again without the text around its JSON").await;
                    self.show(&mended).await;
                }
                finished.output = Output::Chat(*mended);
                self.accept(finished).await
            }
            Worth::Refused => {
                let policy = route.on_refusal.unwrap_or(Unanswered::Return);
                self.unanswered(finished, step, policy, true, "the model refused to answer").await
            }
            Worth::Empty => {
                let policy = route.on_empty.unwrap_or(Unanswered::Next);
                // Nothing is not JSON.
                let may_stand = !self.form.is_json();
                self.unanswered(finished, step, policy, may_stand, "the answer is empty").await
            }
            Worth::Flawed { flaw, text } => {
                let answer = answer.clone();
                self.flawed(answer, &text, &flaw, step, tries).await
            }
        }
    }

    /// The held answer stands after all; readers are shown it again.
    pub(super) async fn tell_held(&mut self, held: Held) -> Box<Finished> {
        let Held { finished, by } = held;
        if self.has_shown {
            self.tell_restarted("no other provider has answered: the earlier answer stands").await;
        }
        self.unsaid.clear();
        self.shown = ChatOutput::default();
        if let Output::Chat(answer) = &finished.output {
            self.show(answer).await;
        }
        self.tell_unsaid().await;
        self.served_by = Some(by);
        finished
    }

    async fn accept(&mut self, finished: Box<Finished>) -> Judgement {
        self.tell_unsaid().await;
        Judgement::Accepted(finished)
    }

    /// `may_stand`: it can be the answer if there is no better one.
    async fn unanswered(
        &mut self,
        finished: Box<Finished>,
        step: &Step,
        policy: Unanswered,
        may_stand: bool,
        why: &str,
    ) -> Judgement {
        let reason = failed(step, why);
        let is_last = self.at + 1 >= self.work.plan.steps.len();
        match policy {
            Unanswered::Next if (!is_last || self.held.is_some()) && self.may_take_back() => {
                self.note(&reason);
                self.take_back("another provider is asked").await;
                // The first one is held: an empty answer does not replace a refusal.
                if may_stand && self.held.is_none() {
                    self.held = Some(Held { finished, by: step.clone() });
                }
                Judgement::PassedOver(reason)
            }
            Unanswered::Return | Unanswered::Next if may_stand => self.accept(finished).await,
            _ => {
                let Output::Chat(answer) = finished.output else { return Judgement::Rejected(reason) };
                self.reject(answer, reason)
            }
        }
    }

    /// Asks the same model again, once a request, as one of the retries; otherwise the request fails.
    async fn flawed(
        &mut self,
        answer: ChatOutput,
        text: &str,
        flaw: &Flaw,
        step: &Step,
        tries: &Tries,
    ) -> Judgement {
        let reason = failed(step, &format!("not what `response_format` asks for: {flaw}"));
        if self.has_asked_again || tries.failures >= self.shared.engine.retries || !self.may_take_back() {
            return self.reject(answer, reason);
        }
        self.has_asked_again = true;
        self.note(&reason);
        self.rejected = Some(worth::kept(&answer));
        self.take_back("the answer did not have the requested form, so the model is asked again").await;
        let payload = worth::asked_again(self.work.request.payload.clone(), text, flaw);
        Judgement::AskAgain(Question { payload, reason })
    }

    fn reject(&mut self, answer: ChatOutput, reason: Error) -> Judgement {
        self.note(&reason);
        self.rejected = Some(worth::kept(&answer));
        Judgement::Rejected(reason)
    }

    /// Notes in the record of the answered call why its answer is no good.
    fn note(&mut self, reason: &Error) {
        if let Some(record) = self.records.last_mut() {
            record.error = Some(reason.clone());
        }
    }

    /// Whether what was shown of the answer may be declared void.
    pub(super) fn may_take_back(&self) -> bool {
        !self.has_shown || self.policy() != MidstreamFailure::Fail
    }

    async fn take_back(&mut self, reason: &str) {
        if self.has_shown {
            self.tell_restarted(reason).await;
        }
    }

    /// Shows an answer that is known whole.
    pub(super) async fn show(&mut self, answer: &ChatOutput) {
        if !self.work.request.wants_stream() {
            return;
        }
        for (index, choice) in answer.choices().enumerate() {
            let of_choice =
                || ChatDelta { choice: u32::try_from(index).unwrap_or(u32::MAX), ..ChatDelta::default() };
            let texts = pieces(&choice.text).map(|text| ChatDelta { delta: text.to_owned(), ..of_choice() });
            let thoughts = pieces(&choice.reasoning);
            let thoughts = thoughts.map(|text| ChatDelta { reasoning: text.to_owned(), ..of_choice() });
            let refusals =
                pieces(&choice.refusal).map(|text| ChatDelta { refusal: text.to_owned(), ..of_choice() });
            let end = ChatDelta {
                finish_reason: choice.finish_reason,
                tool_calls: calls(choice),
                logprobs: choice.logprobs.clone(),
                ..of_choice()
            };
            for delta in thoughts.chain(texts).chain(refusals).chain([end]) {
                self.pass_on(delta).await;
            }
        }
    }
}

fn failed(step: &Step, why: &str) -> Error {
    Error::new(ErrorCode::InvalidOutput, format!("{}: {why}", step.provider))
}

fn calls(choice: &ChatOutput) -> Vec<ToolCallDelta> {
    let whole = |(index, call): (usize, &schemas::chat::ToolCall)| ToolCallDelta {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        id: Some(call.id.clone()),
        name: Some(call.name.clone()),
        arguments: call.arguments.clone(),
    };
    choice.tool_calls.iter().enumerate().map(whole).collect()
}

/// `text` in pieces that fit into an event.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE_BYTES_MAX.min(text.len())));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}
