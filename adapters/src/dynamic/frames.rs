//! Reads a streamed chat answer: the expressions of the file say what each frame adds.

use std::sync::Arc;

use reqwest::header::HeaderMap;
use schemas::{ChatDelta, chat::FinishReason};
use serde_json::Value;

use super::{
    Provider,
    errors::Said,
    file::Framing,
    heard,
    job::words,
    plan::{Answer as Place, Plan},
    template::Scope,
};
use crate::{
    Error, Finished,
    chat::{self, Answer, Ask, Decoder},
};

/// The status of a reply that has begun well.
const OK: u16 = 200;

/// Reads frames, and whole replies of servers that do not stream.
pub(super) struct Frames {
    provider: Arc<Provider>,
    plan: Arc<Plan>,
    scope: Scope,
    answer: Answer,
}

impl Frames {
    pub(super) fn new(provider: Arc<Provider>, plan: Arc<Plan>, scope: Scope) -> Self {
        Self { provider, plan, scope, answer: Answer::default() }
    }

    /// Parses what the provider said; fails if that is an error.
    fn hear(&self, data: &[u8]) -> Result<Scope, Error> {
        let reply: Value = serde_json::from_slice(data)
            .map_err(|error| self.provider.nonsense(&format!("sent what is not JSON: {error}")))?;
        let headers = HeaderMap::new();
        let scope = heard(&self.scope, OK, &headers, &reply);
        let said = Said { status: OK, headers: &headers, body: data };
        let refused = self.provider.program.errors.in_reply(&self.provider.endpoint, &scope, &said);
        refused.map_or(Ok(scope), Err)
    }

    fn take(&mut self, text: String, reasoning: String, reason: &Value) -> Vec<ChatDelta> {
        let finish_reason = (!words(reason).is_empty()).then(|| finish_reason(reason));
        let delta = ChatDelta { delta: text, reasoning, finish_reason, ..ChatDelta::default() };
        self.answer.take(delta).into_iter().collect()
    }

    fn unreadable(&self, why: &str) -> Error {
        self.provider.nonsense(&format!("sent a broken answer: {why}"))
    }
}

impl Decoder for Frames {
    fn frame(&mut self, data: &str) -> Result<Vec<ChatDelta>, Error> {
        let scope = self.hear(data.as_bytes())?;
        let plan = Arc::clone(&self.plan);
        let Some(stream) = &plan.stream else { return Err(self.unreadable("no stream was asked for")) };
        let read = |place: &super::template::Json| place.render(&scope);
        let text = read(&stream.text).map_err(|why| self.unreadable(&why))?;
        let reason = read(&stream.finish_reason).map_err(|why| self.unreadable(&why))?;
        let reasoning = stream.reasoning.as_ref().map(read).transpose();
        let reasoning = reasoning.map_err(|why| self.unreadable(&why))?;
        if let Some(usage) = stream.usage.read(&scope) {
            self.answer.used(usage);
        }
        self.answer.by(plan.model_in(&scope).unwrap_or_default());
        Ok(self.take(words(&text), words(&reasoning.unwrap_or_default()), &reason))
    }

    fn whole(&mut self, body: &[u8]) -> Result<Vec<ChatDelta>, Error> {
        let scope = self.hear(body)?;
        let plan = Arc::clone(&self.plan);
        let Place::Text { text, finish_reason } = &plan.answer else {
            return Err(self.unreadable("no text was asked for"));
        };
        let text = text.render(&scope).map_err(|why| self.unreadable(&why))?;
        let reason = finish_reason.as_ref().map(|reason| reason.render(&scope)).transpose();
        let reason = reason.map_err(|why| self.unreadable(&why))?;
        let reason = reason.filter(|reason| !words(reason).is_empty()).unwrap_or_else(|| "stop".into());
        if let Some(usage) = plan.usage.read(&scope) {
            self.answer.used(usage);
        }
        self.answer.by(plan.model_in(&scope).unwrap_or_default());
        Ok(self.take(words(&text), String::new(), &reason))
    }

    fn is_whole(&self) -> bool {
        self.answer.is_whole()
    }

    fn finish(&mut self, ask: &Ask) -> Finished {
        std::mem::take(&mut self.answer).finish(ask)
    }
}

/// Why an answer ended. A word that the contract does not have means that the answer was complete.
pub(super) fn finish_reason(word: &Value) -> FinishReason {
    serde_json::from_value(word.clone()).unwrap_or(FinishReason::Stop)
}

impl From<Framing> for chat::Framing {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Events | Framing::TextEvents => Self::Events,
            Framing::Lines => Self::Lines,
        }
    }
}
