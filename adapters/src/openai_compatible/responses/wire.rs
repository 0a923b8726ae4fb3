//! The shapes of replies, as loose as the servers are.

use schemas::Usage;
use serde::Deserialize;
use serde_json::Value;

use crate::counts;

/// One event of a stream.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(super) enum Event {
    #[serde(rename = "response.created")]
    Created { response: Response },
    #[serde(rename = "response.output_item.added")]
    ItemAdded { output_index: u32, item: Item },
    #[serde(rename = "response.output_item.done")]
    ItemDone { output_index: u32, item: Item },
    #[serde(rename = "response.output_text.delta")]
    Text { delta: String },
    #[serde(rename = "response.refusal.delta")]
    Refusal { delta: String },
    #[serde(rename = "response.reasoning_summary_text.delta", alias = "response.reasoning_text.delta")]
    Reasoning { delta: String },
    #[serde(rename = "response.function_call_arguments.delta")]
    Arguments { output_index: u32, delta: String },
    #[serde(rename = "response.completed", alias = "response.incomplete", alias = "response.failed")]
    End { response: Response },
    #[serde(rename = "error")]
    Error { error: Option<Value> },
    #[serde(other)]
    Other,
}

/// The whole response, as it is at the start or at the end.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Response {
    pub(super) model: Option<String>,
    pub(super) status: Option<String>,
    pub(super) error: Option<Value>,
    pub(super) incomplete_details: Option<Incomplete>,
    #[serde(default)]
    pub(super) output: Vec<Item>,
    #[serde(default, deserialize_with = "counts::part")]
    pub(super) usage: Option<UsageReply>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Incomplete {
    pub(super) reason: Option<String>,
}

/// An item of an answer.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item {
    Message {
        #[serde(default)]
        content: Vec<Piece>,
    },
    Reasoning {
        #[serde(default)]
        id: String,
        #[serde(default)]
        summary: Vec<Thought>,
        /// All of the reasoning, readable only by the API.
        encrypted_content: Option<String>,
    },
    FunctionCall {
        call_id: String,
        name: String,
        #[serde(default)]
        arguments: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Piece {
    OutputText {
        text: String,
    },
    Refusal {
        refusal: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct Thought {
    #[serde(default)]
    pub(super) text: String,
}

/// The usage.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct UsageReply {
    #[serde(default, deserialize_with = "counts::count")]
    input_tokens: Option<u64>,
    #[serde(default, deserialize_with = "counts::count")]
    output_tokens: Option<u64>,
    #[serde(default, deserialize_with = "counts::part")]
    input_tokens_details: Option<InputDetails>,
    #[serde(default, deserialize_with = "counts::part")]
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Debug, Clone, Deserialize)]
struct InputDetails {
    #[serde(default, deserialize_with = "counts::count")]
    cached_tokens: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
struct OutputDetails {
    #[serde(default, deserialize_with = "counts::count")]
    reasoning_tokens: Option<u64>,
}

impl UsageReply {
    /// The usage, if the API reports both input and output.
    pub(super) fn read(&self) -> Option<Usage> {
        let (cached, reasoning) = (self.input_tokens_details.as_ref(), self.output_tokens_details.as_ref());
        Some(Usage {
            input_tokens: self.input_tokens?,
            output_tokens: self.output_tokens?,
            cached_tokens: cached.and_then(|details| details.cached_tokens).unwrap_or(0),
            reasoning_tokens: reasoning.and_then(|details| details.reasoning_tokens).unwrap_or(0),
            ..Usage::default()
        })
    }
}
