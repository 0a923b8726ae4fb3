//! The shapes of replies: unknown fields are ignored, and a field that some reply may lack is optional.

use schemas::Usage;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::counts;

/// A whole reply, or a chunk of a stream.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reply {
    pub(super) candidates: Option<Vec<Candidate>>,
    pub(super) prompt_feedback: Option<PromptFeedback>,
    pub(super) usage_metadata: Option<UsageMetadata>,
    pub(super) model_version: Option<String>,
    /// What went wrong, before or after the answer began.
    pub(super) error: Option<Value>,
}

/// One answer, or a piece of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate {
    pub(super) index: Option<u32>,
    pub(super) content: Option<Content>,
    pub(super) finish_reason: Option<String>,
    pub(super) finish_message: Option<String>,
    pub(super) logprobs_result: Option<Logprobs>,
}

/// The log probabilities of a piece's tokens and of their alternatives.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Logprobs {
    #[serde(default)]
    pub(super) chosen_candidates: Vec<Token>,
    #[serde(default)]
    pub(super) top_candidates: Vec<Rivals>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Rivals {
    #[serde(default)]
    pub(super) candidates: Vec<Token>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Token {
    #[serde(default)]
    pub(super) token: String,
    #[serde(default)]
    pub(super) log_probability: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Content {
    pub(super) parts: Option<Vec<Part>>,
}

/// A part of an answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) thought: bool,
    pub(super) thought_signature: Option<String>,
    pub(super) function_call: Option<FunctionCall>,
    /// Any other kind of part.
    #[serde(flatten)]
    pub(super) other: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FunctionCall {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) args: Option<Value>,
}

/// Why Gemini did not answer a question.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback {
    pub(super) block_reason: Option<String>,
    pub(super) block_reason_message: Option<String>,
}

/// The usage so far.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct UsageMetadata {
    #[serde(deserialize_with = "counts::count_or_zero")]
    prompt_token_count: u64,
    #[serde(deserialize_with = "counts::count_or_zero")]
    cached_content_token_count: u64,
    #[serde(deserialize_with = "counts::count_or_zero")]
    tool_use_prompt_token_count: u64,
    #[serde(deserialize_with = "counts::count_or_zero")]
    candidates_token_count: u64,
    #[serde(deserialize_with = "counts::count_or_zero")]
    thoughts_token_count: u64,
}

impl From<UsageMetadata> for Usage {
    /// Gemini counts thoughts apart from the answer, and bills them with it.
    fn from(told: UsageMetadata) -> Self {
        Self {
            input_tokens: told.prompt_token_count.saturating_add(told.tool_use_prompt_token_count),
            output_tokens: told.candidates_token_count.saturating_add(told.thoughts_token_count),
            cached_tokens: told.cached_content_token_count,
            reasoning_tokens: told.thoughts_token_count,
            ..Self::default()
        }
    }
}

/// The reply to a request for embeddings.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EmbeddingReply {
    pub(super) embeddings: Vec<Embedding>,
    pub(super) usage_metadata: Option<UsageMetadata>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Embedding {
    pub(super) values: Vec<f32>,
}
