//! Reads Gemini's answers, whole or streamed.
//!
//! It reads a stream line by line: `data: {…}` is a chunk, anything else the start of an error, which Gemini sends as
//! bare JSON over several lines.

use std::sync::Arc;

use schemas::{
    ChatDelta, ErrorCode, Usage,
    chat::{CHOICES_MAX, FinishReason, ToolCallDelta},
};
use serde_json::{Value, json};

use super::{
    signature,
    wire::{Candidate, FunctionCall, Logprobs, Part, PromptFeedback, Reply, Token},
};
use crate::{
    Error, Finished, Remedy,
    chat::{Answer, Ask, Decoder},
    endpoint::Endpoint,
    failure,
    http::ERROR_BODY_BYTES_MAX,
};

/// Reads chunks and whole replies: they have the same shape.
#[derive(Debug)]
pub(super) struct Chunks {
    endpoint: Arc<Endpoint>,
    answer: Answer,
    /// Goes into the ids of calls to which Gemini gives none.
    key: String,
    /// The lines of an error so far.
    error: String,
}

impl Chunks {
    pub(super) fn new(endpoint: &Arc<Endpoint>, key: &str) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            answer: Answer::default(),
            key: key.to_owned(),
            error: String::new(),
        }
    }

    /// Takes one reply, or several in an array.
    fn absorb(&mut self, body: &[u8]) -> Result<Vec<ChatDelta>, Error> {
        let replies = match body.trim_ascii_start().first() {
            Some(b'[') => serde_json::from_slice(body),
            _ => serde_json::from_slice(body).map(|reply: Reply| vec![reply]),
        };
        let replies: Vec<Reply> = replies
            .map_err(|error| self.endpoint.nonsense(&format!("sent what is not a chat answer: {error}")))?;
        let mut deltas = Vec::new();
        for reply in replies {
            self.absorb_one(reply, &mut deltas)?;
        }
        Ok(deltas)
    }

    fn absorb_one(&mut self, reply: Reply, deltas: &mut Vec<ChatDelta>) -> Result<(), Error> {
        if let Some(error) = reply.error {
            return Err(failure::in_reply(&self.endpoint, json!({ "error": error }).to_string().as_bytes()));
        }
        let told = reply.usage_metadata.map(Usage::from);
        if let Some(told) = told.filter(|told| *told != Usage::default()) {
            self.answer.used(told);
        }
        self.answer.by(reply.model_version.unwrap_or_default());
        let candidates = reply.candidates.unwrap_or_default();
        if let Some(feedback) = reply.prompt_feedback.filter(|_| candidates.is_empty()) {
            deltas.extend(blocked(feedback).and_then(|delta| self.answer.take(delta)));
        }
        for candidate in candidates {
            let delta = self.delta(candidate)?;
            deltas.extend(self.answer.take(delta));
        }
        Ok(())
    }

    fn delta(&self, candidate: Candidate) -> Result<ChatDelta, Error> {
        let choice = candidate.index.unwrap_or(0);
        if choice >= CHOICES_MAX {
            return Err(self
                .endpoint
                .nonsense(&format!("sent choice {choice}, over the limit of {CHOICES_MAX}")));
        }
        let known = self.answer.output().choices().nth(choice as usize).map_or(0, |it| it.tool_calls.len());
        let mut delta = ChatDelta { choice, ..ChatDelta::default() };
        for part in candidate.content.and_then(|content| content.parts).unwrap_or_default() {
            self.add(&mut delta, known, part)?;
        }
        delta.logprobs = candidate.logprobs_result.map(logprobs).unwrap_or_default();
        match candidate.finish_reason.as_deref().map(End::of) {
            None | Some(End::Open) => {}
            Some(End::Natural) => {
                let calls = known > 0 || !delta.tool_calls.is_empty();
                delta.finish_reason = Some(if calls { FinishReason::ToolCalls } else { FinishReason::Stop });
            }
            Some(End::Length) => delta.finish_reason = Some(FinishReason::Length),
            Some(End::Withheld) => {
                let reason = candidate.finish_reason.unwrap_or_default();
                delta.refusal = withheld("the answer", &reason, candidate.finish_message);
                delta.finish_reason = Some(FinishReason::ContentFilter);
            }
            Some(End::Failed(code, remedy)) => {
                let reason = candidate.finish_reason.unwrap_or_default();
                let told = candidate.finish_message.unwrap_or_default();
                let words = self.endpoint.quote(&format!("ended its answer with {reason} {told}"));
                return Err(Error::new(&self.endpoint.name, code, remedy, words));
            }
        }
        Ok(delta)
    }

    fn add(&self, delta: &mut ChatDelta, known: usize, part: Part) -> Result<(), Error> {
        if let Some(call) = part.function_call {
            let index = (known + delta.tool_calls.len()) as u32;
            if index >= CHOICES_MAX {
                return Err(self.endpoint.nonsense(&format!("made more than {CHOICES_MAX} calls of tools")));
            }
            delta.tool_calls.push(self.call(delta.choice, index, call, part.thought_signature.as_deref()));
        } else if let Some(text) = part.text {
            if part.thought { delta.reasoning += &text } else { delta.delta += &text }
        } else if let Some(kind) = part.other.keys().next() {
            let what = self.endpoint.quote(&format!("answered with `{kind}`, for which a chat has no place"));
            return Err(Error::new(&self.endpoint.name, ErrorCode::ProviderError, Remedy::FallBack, what));
        }
        Ok(())
    }

    /// A call comes whole, its arguments as an object.
    fn call(&self, choice: u32, index: u32, call: FunctionCall, signature: Option<&str>) -> ToolCallDelta {
        let id = call.id.filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| format!("call_{}_{choice}_{index}", self.key));
        ToolCallDelta {
            index,
            id: Some(signature::join(&id, signature)),
            name: Some(call.name),
            arguments: call.args.unwrap_or_else(|| json!({})).to_string(),
        }
    }
}

impl Decoder for Chunks {
    fn frame(&mut self, line: &str) -> Result<Vec<ChatDelta>, Error> {
        let line = line.trim();
        if let Some(data) = line.strip_prefix("data:") {
            return self.absorb(data.as_bytes());
        }
        let of_the_frame = [":", "event:", "id:", "retry:"].iter().any(|field| line.starts_with(field));
        if self.error.is_empty() && of_the_frame {
            return Ok(Vec::new());
        }
        self.error.push_str(line);
        self.error.push('\n');
        if self.error.len() > ERROR_BODY_BYTES_MAX {
            return Err(self.endpoint.nonsense("sent a broken stream: neither an event nor an error"));
        }
        let is_whole = line.ends_with(['}', ']']) && serde_json::from_str::<Value>(&self.error).is_ok();
        if !is_whole {
            return Ok(Vec::new());
        }
        let error = std::mem::take(&mut self.error);
        self.absorb(error.as_bytes())
    }

    fn whole(&mut self, body: &[u8]) -> Result<Vec<ChatDelta>, Error> {
        self.absorb(body)
    }

    fn is_whole(&self) -> bool {
        self.answer.is_whole()
    }

    fn finish(&mut self, ask: &Ask) -> Finished {
        std::mem::take(&mut self.answer).finish(ask)
    }
}

/// Log probabilities in the form of OpenAI's API.
fn logprobs(told: Logprobs) -> Vec<Value> {
    let token =
        |it: &Token| json!({"token": it.token, "logprob": it.log_probability, "bytes": it.token.as_bytes()});
    let chosen = told.chosen_candidates.iter().enumerate().map(|(index, chosen)| {
        let rivals =
            told.top_candidates.get(index).map(|top| top.candidates.iter().map(token).collect::<Vec<_>>());
        let mut chosen = token(chosen);
        chosen["top_logprobs"] = rivals.unwrap_or_default().into();
        chosen
    });
    chosen.collect()
}

/// The delta for a question that Gemini did not answer at all.
fn blocked(feedback: PromptFeedback) -> Option<ChatDelta> {
    let reason = feedback.block_reason?;
    Some(ChatDelta {
        refusal: withheld("an answer to this question", &reason, feedback.block_reason_message),
        finish_reason: Some(FinishReason::ContentFilter),
        ..ChatDelta::default()
    })
}

fn withheld(what: &str, reason: &str, told: Option<String>) -> String {
    let told = told.filter(|told| !told.is_empty()).map(|told| format!(": {told}")).unwrap_or_default();
    format!("The provider withheld {what} ({reason}){told}")
}

/// What the end of an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Not the end.
    Open,
    /// The model said everything, or it calls tools.
    Natural,
    /// It hit its token limit.
    Length,
    /// Gemini withheld it.
    Withheld,
    /// The model or the provider failed: half an answer never counts as a whole one.
    Failed(ErrorCode, Remedy),
}

impl End {
    fn of(reason: &str) -> Self {
        use ErrorCode::{InvalidRequest, ProviderError};
        match reason {
            "" | "FINISH_REASON_UNSPECIFIED" => Self::Open,
            "STOP" => Self::Natural,
            "MAX_TOKENS" | "CONTINUATION" => Self::Length,
            "SAFETY"
            | "RECITATION"
            | "LANGUAGE"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
            | "ESCALATION"
            | "MODEL_ARMOR" => Self::Withheld,
            "MISSING_THOUGHT_SIGNATURE" => Self::Failed(InvalidRequest, Remedy::FallBack),
            "PUP_LIMITED_DISABLED" | "NO_IMAGE" | "IMAGE_OTHER" => {
                Self::Failed(ProviderError, Remedy::FallBack)
            }
            // A second try may do better: malformed and unexpected calls, OTHER, and unknown reasons.
            _ => Self::Failed(ProviderError, Remedy::Retry),
        }
    }
}

#[cfg(test)]
mod tests;
