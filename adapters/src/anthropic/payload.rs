//! The part of the chat-completions body that this adapter reads; [the rules](super) say what becomes of the rest.

use schemas::{
    chat::{Content, Role},
    codec,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
pub(super) struct Payload {
    pub(super) messages: Vec<Message>,
    pub(super) max_completion_tokens: Option<u64>,
    pub(super) max_tokens: Option<u64>,
    pub(super) stop: Option<Stop>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) tools: Option<Vec<Value>>,
    pub(super) tool_choice: Option<Value>,
    pub(super) parallel_tool_calls: Option<bool>,
    pub(super) response_format: Option<Value>,
    pub(super) reasoning_effort: Option<String>,
    pub(super) user: Option<String>,
    // Anthropic's own.
    pub(super) top_k: Option<u64>,
    pub(super) thinking: Option<Value>,
    pub(super) cache_control: Option<Value>,
    // Refused.
    pub(super) n: Option<u64>,
    pub(super) logprobs: Option<bool>,
    pub(super) top_logprobs: Option<u64>,
    pub(super) modalities: Option<Vec<String>>,
    pub(super) audio: Option<Value>,
    pub(super) functions: Option<Value>,
    pub(super) function_call: Option<Value>,
    pub(super) web_search_options: Option<Value>,
}

impl Payload {
    pub(super) fn read(payload: &Value) -> Result<Self, schemas::Error> {
        codec::view(payload, "payload")
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub(super) role: Role,
    pub(super) content: Option<Content>,
    pub(super) refusal: Option<String>,
    pub(super) tool_calls: Option<Vec<ToolCall>>,
    pub(super) tool_call_id: Option<String>,
    pub(super) function_call: Option<Value>,
    pub(super) audio: Option<Value>,
    // Anthropic's own.
    pub(super) cache_control: Option<Value>,
}

/// A call that an assistant made. A free-text call has no `function`.
#[derive(Debug, Deserialize)]
pub(super) struct ToolCall {
    pub(super) id: String,
    pub(super) function: Option<FunctionCall>,
    // Anthropic's own.
    pub(super) cache_control: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FunctionCall {
    pub(super) name: String,
    /// JSON text.
    #[serde(default)]
    pub(super) arguments: String,
}

/// One stop sequence, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Stop {
    One(String),
    Several(Vec<String>),
}

/// A part of a message.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part {
    Text {
        text: String,
        cache_control: Option<Value>,
    },
    Refusal {
        refusal: String,
    },
    ImageUrl {
        image_url: Image,
        cache_control: Option<Value>,
    },
    File {
        file: File,
        cache_control: Option<Value>,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(super) struct Image {
    pub(super) url: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct File {
    pub(super) file_data: Option<String>,
    pub(super) filename: Option<String>,
}
