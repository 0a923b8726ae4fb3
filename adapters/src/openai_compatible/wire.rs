//! The shapes of replies, as loose as the servers are: unknown fields are ignored, and a field that some reply may lack
//! may be absent or null here.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use schemas::{chat::Content, embedding::Vector};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::counts;

/// A chunk of a streamed chat, or a whole chat reply.
#[derive(Debug, Deserialize)]
pub(super) struct ChatReply {
    pub(super) model: Option<String>,
    pub(super) choices: Option<Vec<Choice>>,
    #[serde(default, deserialize_with = "counts::part")]
    pub(super) usage: Option<UsageReply>,
    /// `error` if the whole reply is an error in an older form.
    pub(super) object: Option<String>,
    /// What went wrong after the answer began.
    pub(super) error: Option<Value>,
}

impl ChatReply {
    /// Whether it is an error and no answer; [`crate::failure::in_reply`] reads it then.
    pub(super) fn is_error(&self) -> bool {
        self.error.is_some() || (self.choices.is_none() && self.object.as_deref() == Some("error"))
    }
}

/// One answer, or a piece of it.
#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    pub(super) index: Option<u32>,
    /// In a chunk.
    pub(super) delta: Option<Piece>,
    /// In a whole reply.
    pub(super) message: Option<Piece>,
    pub(super) finish_reason: Option<String>,
    pub(super) logprobs: Option<Logprobs>,
}

/// Log probabilities of tokens.
#[derive(Debug, Deserialize)]
pub(super) struct Logprobs {
    pub(super) content: Option<Vec<Value>>,
}

/// What an answer says, or a piece of it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Piece {
    pub(super) content: Option<Content>,
    /// z.ai, DeepSeek, older vLLM.
    pub(super) reasoning_content: Option<String>,
    /// Ollama, OpenRouter, newer vLLM; if both are given, they say the same.
    pub(super) reasoning: Option<String>,
    pub(super) refusal: Option<String>,
    pub(super) tool_calls: Option<Vec<ToolCall>>,
    /// The older form of a tool call.
    pub(super) function_call: Option<Function>,
}

/// A tool call, or a piece of it.
#[derive(Debug, Deserialize)]
pub(super) struct ToolCall {
    /// Absent in whole replies, and in the chunks of some servers.
    pub(super) index: Option<u32>,
    pub(super) id: Option<String>,
    pub(super) function: Option<Function>,
    /// A call whose arguments are free text.
    pub(super) custom: Option<Function>,
}

/// The called function.
#[derive(Debug, Deserialize)]
pub(super) struct Function {
    pub(super) name: Option<String>,
    /// JSON text; some servers send the object itself.
    #[serde(alias = "input")]
    pub(super) arguments: Option<Value>,
}

/// The usage.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct UsageReply {
    #[serde(default, deserialize_with = "counts::count")]
    pub(super) prompt_tokens: Option<u64>,
    #[serde(default, deserialize_with = "counts::count")]
    pub(super) completion_tokens: Option<u64>,
    #[serde(default, deserialize_with = "counts::count")]
    pub(super) total_tokens: Option<u64>,
    #[serde(default, deserialize_with = "counts::part")]
    pub(super) prompt_tokens_details: Option<PromptDetails>,
    #[serde(default, deserialize_with = "counts::part")]
    pub(super) completion_tokens_details: Option<CompletionDetails>,
}

/// Details of the input tokens.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PromptDetails {
    #[serde(default, deserialize_with = "counts::count")]
    pub(super) cached_tokens: Option<u64>,
}

/// Details of the output tokens.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct CompletionDetails {
    #[serde(default, deserialize_with = "counts::count")]
    pub(super) reasoning_tokens: Option<u64>,
}

/// The reply to a request for embeddings.
#[derive(Debug, Deserialize)]
pub(super) struct EmbeddingReply {
    pub(super) data: Vec<EmbeddingItem>,
    pub(super) model: Option<String>,
    #[serde(default, deserialize_with = "counts::part")]
    pub(super) usage: Option<UsageReply>,
}

/// One vector.
#[derive(Debug, Deserialize)]
pub(super) struct EmbeddingItem {
    pub(super) index: Option<usize>,
    #[serde(deserialize_with = "vector")]
    pub(super) embedding: Vector,
}

/// Reads a vector from numbers or from base64: servers do not always send the form that the request asks for.
fn vector<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vector, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vector;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of numbers, or base64 of little-endian 32-bit floats")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vector, E> {
            let bytes = BASE64_STANDARD.decode(text).ok();
            bytes.and_then(|bytes| Vector::from_le_bytes(&bytes)).ok_or_else(|| {
                // The text itself is left out: it is long, and says nothing.
                E::custom("the base64 of an embedding does not hold whole 32-bit floats")
            })
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, numbers: A) -> Result<Vector, A::Error> {
            Vec::deserialize(de::value::SeqAccessDeserializer::new(numbers)).map(Vector)
        }
    }
    deserializer.deserialize_any(Visitor)
}
