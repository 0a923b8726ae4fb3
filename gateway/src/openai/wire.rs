//! The OpenAI objects, key for key. Everything that the SDKs' strict validation requires is always there.

use schemars::JsonSchema;
use schemas::{ChatOutput, Usage, chat::FinishReason};
use serde::Serialize;
use serde_json::Value;

/// The `finish_reason` of an answer whose provider named none.
const FINISHED: &str = "stop";

/// A whole answer of a chat.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChatCompletion")]
pub(crate) struct Completion<'a> {
    /// `chatcmpl-` and the id of the request.
    pub(crate) id: &'a str,
    /// What this is.
    #[schemars(extend("const" = "chat.completion"))]
    pub(crate) object: &'static str,
    /// When it was answered, in seconds since 1970.
    pub(crate) created: i64,
    /// The model that was asked for.
    pub(crate) model: &'a str,
    /// The answers; one, unless `n` asked for more.
    pub(crate) choices: Vec<Choice<'a>>,
    /// What was used.
    pub(crate) usage: TokenUsage,
}

/// One answer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChatChoice")]
pub(crate) struct Choice<'a> {
    /// Which answer it is, from 0.
    index: usize,
    /// What the model says.
    message: Message<'a>,
    /// Why it ended.
    #[schemars(with = "FinishReason")]
    finish_reason: &'static str,
    /// How likely its tokens were; `null` where that was not asked for, or is not told.
    logprobs: Option<Logprobs<'a>>,
}

/// How likely the tokens of an answer were.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Logprobs<'a> {
    /// Each token, as the provider tells it.
    content: &'a [Value],
    /// Always `null`.
    refusal: Option<()>,
}

impl<'a> Logprobs<'a> {
    /// None where nothing is told.
    pub(crate) fn of(content: &'a [Value]) -> Option<Self> {
        (!content.is_empty()).then_some(Self { content, refusal: None })
    }
}

/// What the model says.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AssistantMessage")]
struct Message<'a> {
    /// Who speaks.
    #[schemars(extend("const" = "assistant"))]
    role: &'static str,
    /// The text; `null` where there are only calls of tools or a refusal.
    content: Option<&'a str>,
    /// The refusal, where the model refused.
    refusal: Option<&'a str>,
    /// The reasoning, where the provider shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    /// The tools that the model calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
}

/// One call of a tool.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FunctionCall")]
struct ToolCall<'a> {
    /// Its id: the message that answers it names it in `tool_call_id`.
    id: &'a str,
    /// The only kind of tool.
    #[schemars(extend("const" = "function"))]
    r#type: &'static str,
    /// What is called.
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

/// Why an answer ended, on the wire.
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

/// What a chat used.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub(crate) struct TokenUsage {
    /// Tokens read.
    prompt_tokens: u64,
    /// Tokens written.
    completion_tokens: u64,
    /// Both together.
    total_tokens: u64,
    /// What was read, in detail.
    prompt_tokens_details: PromptDetails,
    /// What was written, in detail.
    completion_tokens_details: CompletionDetails,
}

/// What was read, in detail.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
struct PromptDetails {
    /// Those that a cache held.
    cached_tokens: u64,
}

/// What was written, in detail.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
struct CompletionDetails {
    /// Those of reasoning.
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
    /// `chatcmpl-` and the id of the request; the same in each piece.
    pub(crate) id: &'a str,
    /// What this is.
    #[schemars(extend("const" = "chat.completion.chunk"))]
    pub(crate) object: &'static str,
    /// When the answer began, in seconds since 1970.
    pub(crate) created: i64,
    /// The model that was asked for.
    pub(crate) model: &'a str,
    /// What comes to which answer; none on the piece that brings the usage.
    pub(crate) choices: &'a [ChunkChoice<'a>],
    /// Absent, `null`, or the usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Option<TokenUsage>>,
}

/// What comes to one answer.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChunkChoice<'a> {
    /// Which answer it is, from 0.
    pub(crate) index: u32,
    /// What is to be appended.
    pub(crate) delta: Delta<'a>,
    /// Why the answer ended, on its last piece.
    #[schemars(with = "Option<FinishReason>")]
    pub(crate) finish_reason: Option<&'static str>,
    /// How likely these tokens were; `null` where that was not asked for, or is not told.
    pub(crate) logprobs: Option<Logprobs<'a>>,
}

/// What is to be appended.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Delta<'a> {
    /// Who speaks, on the first piece.
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
    /// Pieces of calls of tools.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ToolCallPiece<'a>>,
}

/// A piece of a tool call. `id`, `type` and `name` stand on the first piece only: Python joins what is repeated.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ToolCallPiece<'a> {
    /// Which call it belongs to, from 0.
    pub(crate) index: u32,
    /// The id of the call, on its first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
    /// The kind of tool, on the first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) r#type: Option<&'static str>,
    /// What is called.
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
