//! The OpenAI objects, key for key. Everything that the SDKs' strict validation requires is always there.

use schemas::{ChatOutput, Usage};
use serde::Serialize;

/// The `finish_reason` of an answer whose provider named none.
const FINISHED: &str = "stop";

#[derive(Debug, Serialize)]
pub(crate) struct Completion<'a> {
    pub(crate) id: &'a str,
    pub(crate) object: &'static str,
    pub(crate) created: i64,
    pub(crate) model: &'a str,
    pub(crate) choices: Vec<Choice<'a>>,
    pub(crate) usage: TokenUsage,
}

#[derive(Debug, Serialize)]
pub(crate) struct Choice<'a> {
    index: usize,
    message: Message<'a>,
    finish_reason: &'static str,
    logprobs: Option<()>,
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Debug, Serialize)]
struct ToolCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// Why an answer ended, on the wire.
pub(crate) fn finish_reason(output: &ChatOutput) -> &'static str {
    output.finish_reason.map_or(FINISHED, schemas::chat::FinishReason::as_str)
}

impl<'a> Choice<'a> {
    pub(crate) fn of((index, output): (usize, &'a ChatOutput)) -> Self {
        let shown = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        let silent = output.text.is_empty() && !(output.tool_calls.is_empty() && output.refusal.is_empty());
        let call = |call: &'a schemas::chat::ToolCall| ToolCall {
            id: &call.id,
            r#type: "function",
            function: Function { name: &call.name, arguments: &call.arguments },
        };
        let message = Message {
            role: "assistant",
            content: (!silent).then_some(&output.text),
            refusal: shown(&output.refusal),
            reasoning_content: shown(&output.reasoning),
            tool_calls: output.tool_calls.iter().map(call).collect(),
        };
        Self { index, message, finish_reason: finish_reason(output), logprobs: None }
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct TokenUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

impl From<&Usage> for TokenUsage {
    fn from(usage: &Usage) -> Self {
        Self {
            prompt_tokens: usage.input_tokens,
            completion_tokens: usage.output_tokens,
            total_tokens: usage.total_tokens(),
            prompt_tokens_details: PromptDetails { cached_tokens: usage.cached_tokens },
            completion_tokens_details: CompletionDetails { reasoning_tokens: usage.reasoning_tokens },
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Chunk<'a> {
    pub(crate) id: &'a str,
    pub(crate) object: &'static str,
    pub(crate) created: i64,
    pub(crate) model: &'a str,
    pub(crate) choices: &'a [ChunkChoice<'a>],
    /// Absent, `null`, or the usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Option<TokenUsage>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ChunkChoice<'a> {
    pub(crate) index: u32,
    pub(crate) delta: Delta<'a>,
    pub(crate) finish_reason: Option<&'static str>,
    pub(crate) logprobs: Option<()>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ToolCallPiece<'a>>,
}

/// A piece of a tool call. `id`, `type` and `name` stand on the first piece only: Python joins what is repeated.
#[derive(Debug, Serialize)]
pub(crate) struct ToolCallPiece<'a> {
    pub(crate) index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) r#type: Option<&'static str>,
    pub(crate) function: FunctionPiece<'a>,
}

#[derive(Debug, Serialize)]
pub(crate) struct FunctionPiece<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    pub(crate) arguments: &'a str,
}
