//! How a request ended: one outcome per request, on `dynode.res.<tenant>.<id>`; the first stands.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Action, ChatOutput, EmbeddingOutput, Error, ErrorCode, Event, EventBody, KeyId, MediaOutput, RequestId,
    Tenant, event::Completion,
};

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// The version of the contract; 1.
    pub v: u8,
    /// The request.
    pub id: RequestId,
    /// The tenant whose request it was.
    pub tenant: Tenant,
    /// Its action, as decided by the classifier.
    pub action: Action,
    /// The session of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<RequestId>,
    /// The lookup id of the API key with which it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// How it ended.
    pub status: Status,
    /// The answer, by action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// What it used, over all attempts.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
    /// What it cost over all attempts, in US dollars, as far as prices are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The provider that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Every call that was made for it, as far as known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptRecord>,
    /// How long it took.
    #[serde(default)]
    pub timings: Timings,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
    /// The request's own notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Distinguishes a different request under the same id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fingerprint: String,
    /// `(attempt, seq)` of the terminal event: a later reader continues from here.
    #[serde(default)]
    pub ended: (u32, u64),
}

impl Outcome {
    /// The terminal event for this outcome: the same, whoever writes it and whenever.
    pub fn terminal_event(&self) -> Event {
        let (attempt, seq) = self.ended;
        Event { id: self.id.clone(), attempt, seq, body: self.terminal_body() }
    }

    fn terminal_body(&self) -> EventBody {
        let error = || {
            let unknown = || Error::new(ErrorCode::Internal, "the request failed without a recorded reason");
            self.error.clone().unwrap_or_else(unknown)
        };
        match (self.status, &self.output) {
            (Status::Cancelled, _) => EventBody::Cancelled { usage: self.usage },
            (Status::Succeeded, Some(output)) => {
                let completion = Completion {
                    output: output.clone(),
                    usage: self.usage,
                    cost_usd: self.cost_usd,
                    provider: self.provider.clone(),
                    model: self.model.clone(),
                };
                match self.action {
                    Action::ChatCompletion => EventBody::ChatComplete(completion),
                    _ => EventBody::Complete(completion),
                }
            }
            (Status::Succeeded | Status::Failed | Status::Expired, _) => EventBody::Fail { error: error() },
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// With an output.
    Succeeded,
    /// With an error.
    Failed,
    /// Cancelled by its sender.
    Cancelled,
    /// Ended by its deadline.
    Expired,
}

impl Status {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// The answer, by action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Output {
    /// The output of `chat.completion`.
    Chat(ChatOutput),
    /// The output of `embedding.query`.
    Embeddings(EmbeddingOutput),
    /// The output of an action that makes files.
    Media(MediaOutput),
    /// The output of an action whose answer is passed on as it came.
    Other(Value),
}

/// What a request used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Tokens read, including those from a cache.
    #[serde(default)]
    pub input_tokens: u64,
    /// Tokens written, including those of reasoning.
    #[serde(default)]
    pub output_tokens: u64,
    /// The input tokens that a cache held.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_tokens: u64,
    /// The input tokens that were written to a cache, if that has a price of its own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
    /// The output tokens of reasoning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning_tokens: u64,
    /// Images that were made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Characters that were spoken.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub characters: u64,
    /// How much audio or video was made, or how long a machine was rented, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub media_ms: u64,
    /// The provider reported nothing: these are estimates.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Usage {
    /// Input and output together.
    pub const fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// The sum of this and `other`.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            images: self.images.saturating_add(other.images),
            characters: self.characters.saturating_add(other.characters),
            media_ms: self.media_ms.saturating_add(other.media_ms),
            estimated: self.estimated || other.estimated,
        }
    }

    /// Whether nothing was used.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// One call to a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptRecord {
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The configured name of the provider.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// When the call began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it used.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub usage: Usage,
    /// What it cost, in US dollars, if the price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

/// The milliseconds from `start` to `end`; 0 if the clock went back.
pub fn milliseconds(start: Timestamp, end: Timestamp) -> u64 {
    u64::try_from(end.duration_since(start).as_millis()).unwrap_or(0)
}

/// How long it took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// From acceptance to the start of the last attempt.
    pub queued_ms: u64,
    /// From the start of the call that brought the first output to that output; any wait before the call is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_event_ms: Option<u64>,
    /// From acceptance to the end.
    pub total_ms: u64,
}
