//! The OpenAI objects, key for key. Every field that the SDKs' strict validation requires is always present.

use schemars::JsonSchema;
use schemas::{ChatOutput, Usage, chat::FinishReason};
use serde::Serialize;
use serde_json::Value;

/// The `finish_reason` if the provider named none.
const FINISHED: &str = "stop";

/// The whole answer of a chat.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChatCompletion")]
pub(crate) struct Completion<'a> {
    /// `chatcmpl-` and the request id.
    pub(crate) id: &'a str,
    /// The object type.
    #[schemars(extend("const" = "chat.completion"))]
    pub(crate) object: &'static str,
    /// When it was answered, in seconds since 1970.
    pub(crate) created: i64,
    /// The requested model.
    pub(crate) model: &'a str,
    /// The answers; one, unless `n` asked for more.
    pub(crate) choices: Vec<Choice<'a>>,
    /// Tokens used.
    pub(crate) usage: TokenUsage,
}

/// One answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChatChoice")]
pub(crate) struct Choice<'a> {
    /// The index of the answer, from 0.
    index: usize,
    /// The message of the model.
    message: Message<'a>,
    /// Why the answer ended.
    #[schemars(with = "FinishReason")]
    finish_reason: &'static str,
    /// How likely its tokens were; `null` if not requested, or not reported.
    logprobs: Option<Logprobs<'a>>,
}

/// How likely the tokens of an answer were.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Logprobs<'a> {
    /// Each token, as the provider reports it.
    content: &'a [Value],
    /// Always `null`.
    refusal: Option<()>,
}

impl<'a> Logprobs<'a> {
    /// `None` if nothing is reported.
    pub(crate) fn of(content: &'a [Value]) -> Option<Self> {
        (!content.is_empty()).then_some(Self { content, refusal: None })
    }
}

/// The message of the model.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AssistantMessage")]
struct Message<'a> {
    /// The role of the speaker.
    #[schemars(extend("const" = "assistant"))]
    role: &'static str,
    /// The text; `null` if there are only tool calls or a refusal.
    content: Option<&'a str>,
    /// The refusal, if the model refused.
    refusal: Option<&'a str>,
    /// The reasoning, if the provider shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    /// The tools that the model calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

/// One tool call.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FunctionCall")]
struct ToolCall<'a> {
    /// The id of the call; the message that answers the call repeats it in `tool_call_id`.
    id: &'a str,
    /// The only kind of tool.
    #[schemars(extend("const" = "function"))]
    r#type: &'static str,
    /// The function to call.
    function: Function<'a>,
}

/// A function and its arguments.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CalledFunction")]
struct Function<'a> {
    /// The name of the function.
    name: &'a str,
    /// The arguments, as JSON text.
    arguments: &'a str,
}

/// Why an answer ended, as the wire value.
pub(crate) fn finish_reason(output: &ChatOutput) -> &'static str {
    output.finish_reason.map_or(FINISHED, FinishReason::as_str)
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
        Self {
            index,
            message,
            finish_reason: finish_reason(output),
            logprobs: Logprobs::of(&output.logprobs),
        }
    }
}

/// Tokens used by a chat.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub(crate) struct TokenUsage {
    /// Tokens read.
    prompt_tokens: u64,
    /// Tokens written.
    completion_tokens: u64,
    /// The sum of both.
    total_tokens: u64,
    /// Tokens read, in detail.
    prompt_tokens_details: PromptDetails,
    /// Tokens written, in detail.
    completion_tokens_details: CompletionDetails,
}

/// Tokens read, in detail.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
struct PromptDetails {
    /// Tokens read from a cache.
    cached_tokens: u64,
}

/// Tokens written, in detail.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
struct CompletionDetails {
    /// Tokens of reasoning.
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

/// A piece of a streamed answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChatCompletionChunk")]
pub(crate) struct Chunk<'a> {
    /// `chatcmpl-` and the request id; the same in each piece.
    pub(crate) id: &'a str,
    /// The object type.
    #[schemars(extend("const" = "chat.completion.chunk"))]
    pub(crate) object: &'static str,
    /// When the answer began, in seconds since 1970.
    pub(crate) created: i64,
    /// The requested model.
    pub(crate) model: &'a str,
    /// What to append to each answer; empty in the piece with the usage.
    pub(crate) choices: &'a [ChunkChoice<'a>],
    /// Absent, `null`, or the usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Option<TokenUsage>>,
}

/// What to append to one answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChunkChoice<'a> {
    /// The index of the answer, from 0.
    pub(crate) index: u32,
    /// What to append.
    pub(crate) delta: Delta<'a>,
    /// Why the answer ended, on its last piece.
    #[schemars(with = "Option<FinishReason>")]
    pub(crate) finish_reason: Option<&'static str>,
    /// How likely these tokens were; `null` if not requested, or not reported.
    pub(crate) logprobs: Option<Logprobs<'a>>,
}

/// What to append.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Delta<'a> {
    /// The role of the speaker, on the first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    /// Text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<&'a str>,
    /// Text of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<&'a str>,
    /// Text of reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_content: Option<&'a str>,
    /// Pieces of tool calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ToolCallPiece<'a>>,
}

/// A piece of a tool call. Only the first piece has `id`, `type` and `name`: the Python SDK joins repeated values.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ToolCallPiece<'a> {
    /// The index of its call, from 0.
    pub(crate) index: u32,
    /// The id of the call, on its first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
    /// The kind of tool, on the first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) r#type: Option<&'static str>,
    /// The function to call.
    pub(crate) function: FunctionPiece<'a>,
}

/// A piece of a function and its arguments.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FunctionPiece<'a> {
    /// The name of the function, on the first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    /// Arguments to append, as JSON text.
    pub(crate) arguments: &'a str,
}
