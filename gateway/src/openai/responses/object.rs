//! The response object, key for key: the question, and as much of the answer as there is. Pure.

use schemas::{ChatOutput, Error, ErrorCode, Outcome, Output, RequestId, Status, Usage};
use serde::Serialize;
use serde_json::Value;

use super::{
    create::Echo,
    items::{self, COMPLETED, INCOMPLETE, Item},
};

/// The prefix that makes a request id a response id.
const PREFIX: &str = "resp_";

/// A response in its current state.
#[derive(Debug, Serialize)]
pub(super) struct Object<'a> {
    id: String,
    object: &'static str,
    created_at: i64,
    pub(super) status: &'static str,
    pub(super) error: Option<Failure>,
    pub(super) incomplete_details: Option<Incomplete>,
    pub(super) output: Vec<Value>,
    pub(super) usage: Option<TokenUsage>,
    #[serde(flatten)]
    echo: &'a Echo,
}

/// Why there is no answer.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    code: &'static str,
    message: String,
}

/// Why the answer is incomplete.
#[derive(Debug, Serialize)]
pub(super) struct Incomplete {
    reason: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct TokenUsage {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Debug, Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Debug, Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

/// The id of the response to the request `id`.
pub(super) fn id_of(id: &RequestId) -> String {
    format!("{PREFIX}{id}")
}

/// The request to which this response id belongs.
pub(super) fn request_of(id: &str) -> Option<RequestId> {
    RequestId::new(id.strip_prefix(PREFIX)?).ok()
}

impl<'a> Object<'a> {
    /// A response without an answer yet.
    pub(super) fn begun(id: &RequestId, created_at: i64, echo: &'a Echo, status: &'static str) -> Self {
        Self {
            id: id_of(id),
            object: "response",
            created_at,
            status,
            error: None,
            incomplete_details: None,
            output: Vec::new(),
            usage: None,
            echo,
        }
    }

    /// The same with its answer.
    pub(super) fn answered(self, output: &ChatOutput, items: &[Item], usage: &Usage) -> Self {
        let (status, reason) = items::standing(output);
        Self {
            status,
            incomplete_details: reason.map(|reason| Incomplete { reason }),
            output: listed(items, status),
            usage: Some(usage.into()),
            ..self
        }
    }

    /// The same without an answer: with the reason, and the items that came before the failure.
    pub(super) fn failed(self, error: &Error, items: &[Item]) -> Self {
        let output = listed(items, INCOMPLETE);
        match error.code {
            ErrorCode::Cancelled => Self { status: "cancelled", output, ..self },
            _ => Self { status: "failed", error: Some(error.into()), output, ..self },
        }
    }

    /// The same with the outcome of its request.
    pub(super) fn ended(self, id: &RequestId, outcome: &Outcome) -> Self {
        let error = || {
            let unknown = || Error::new(ErrorCode::Internal, "the request failed without a recorded reason");
            outcome.error.clone().unwrap_or_else(unknown)
        };
        let ended = match (outcome.status, &outcome.output) {
            (Status::Succeeded, Some(Output::Chat(output))) => {
                return self.answered(output, &Item::all_of(id.as_str(), output), &outcome.usage);
            }
            (Status::Cancelled, _) => self.failed(&Error::new(ErrorCode::Cancelled, "cancelled"), &[]),
            _ => self.failed(&error(), &[]),
        };
        Self { usage: Some((&outcome.usage).into()), ..ended }
    }
}

/// All items; only the last can have been cut off.
fn listed(items: &[Item], status: &str) -> Vec<Value> {
    let of = |index: usize| if index + 1 == items.len() { status } else { COMPLETED };
    items.iter().enumerate().map(|(index, item)| item.json(of(index))).collect()
}

impl From<&Error> for Failure {
    /// The SDKs know these codes and no others.
    fn from(error: &Error) -> Self {
        let code = match error.code {
            ErrorCode::RateLimited | ErrorCode::Overloaded | ErrorCode::BudgetExceeded => {
                "rate_limit_exceeded"
            }
            ErrorCode::InvalidRequest | ErrorCode::TooLarge | ErrorCode::NotFound => "invalid_prompt",
            _ => "server_error",
        };
        Self { code, message: format!("{}: {}", error.code, error.message) }
    }
}

impl From<&Usage> for TokenUsage {
    fn from(usage: &Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            input_tokens_details: InputDetails {
                cached_tokens: usage.cached_tokens,
                cache_write_tokens: usage.cache_write_tokens,
            },
            output_tokens: usage.output_tokens,
            output_tokens_details: OutputDetails { reasoning_tokens: usage.reasoning_tokens },
            total_tokens: usage.total_tokens(),
        }
    }
}
