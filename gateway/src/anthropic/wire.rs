//! The response objects of the Messages API, key for key. All keys that the SDKs' strict validation requires are always
//! there.

use bytes::Bytes;
use schemas::{ChatOutput, Error, ErrorCode, Format, chat::FinishReason};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::sse;

/// An answer; in a stream, its beginning.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    pub(super) id: &'a str,
    pub(super) r#type: &'static str,
    pub(super) role: &'static str,
    pub(super) model: &'a str,
    pub(super) content: Vec<Block<'a>>,
    #[serde(flatten)]
    pub(super) ending: Ending<'a>,
    pub(super) usage: Usage,
}

impl<'a> Message<'a> {
    /// The start of a streamed message.
    pub(super) fn beginning(id: &'a str, model: &'a str) -> Self {
        let (content, ending, usage) = (Vec::new(), Ending::default(), Usage::default());
        Self { id, r#type: "message", role: "assistant", model, content, ending, usage }
    }

    /// A whole message.
    pub(super) fn of(
        id: &'a str,
        model: &'a str,
        output: &'a ChatOutput,
        usage: &schemas::Usage,
        shows_thinking: bool,
    ) -> Result<Self, Error> {
        let mut content = Vec::new();
        if shows_thinking && !output.reasoning.is_empty() {
            content.push(Block::Thinking { thinking: &output.reasoning, signature: "" });
        }
        if !output.text.is_empty() {
            content.push(Block::Text { text: &output.text, citations: None });
        }
        for call in &output.tool_calls {
            // A call that was cut off is left out; `max_tokens` explains that.
            if let Some(input) = input(output, call)? {
                content.push(Block::ToolUse { id: &call.id, name: &call.name, input });
            }
        }
        let (ending, usage) = (Ending::of(output), Usage::from(usage));
        Ok(Self { content, ending, usage, ..Self::beginning(id, model) })
    }
}

/// The arguments of a call as an object; `None` if the answer was cut off within them.
pub(super) fn input(
    output: &ChatOutput,
    call: &schemas::chat::ToolCall,
) -> Result<Option<Map<String, Value>>, Error> {
    if call.arguments.trim().is_empty() && !is_cut(output) {
        return Ok(Some(Map::new()));
    }
    match serde_json::from_str(&call.arguments) {
        Ok(input) => Ok(Some(input)),
        Err(_) if is_cut(output) => Ok(None),
        Err(_) => {
            let name: String = call.name.chars().take(128).collect();
            let why = format!("the model calls `{name}` with arguments that are no JSON object");
            Err(Error::new(ErrorCode::InvalidOutput, why))
        }
    }
}

fn is_cut(output: &ChatOutput) -> bool {
    output.finish_reason == Some(FinishReason::Length)
}

/// A block of an answer; in a stream, its beginning.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: &'a str,
        citations: Option<()>,
    },
    Thinking {
        thinking: &'a str,
        /// Anthropic recognises its own thinking by this; other providers have none.
        signature: &'static str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Map<String, Value>,
    },
}

/// A piece of a block.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub(super) enum Piece<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

/// Why an answer ended; unknown at its beginning.
#[derive(Debug, Default, Serialize)]
pub(super) struct Ending<'a> {
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'a str>,
    stop_details: Option<StopDetails<'a>>,
}

/// Details of a refusal.
#[derive(Debug, Serialize)]
struct StopDetails<'a> {
    r#type: &'static str,
    category: Option<()>,
    explanation: Option<&'a str>,
}

impl<'a> Ending<'a> {
    pub(super) fn of(output: &'a ChatOutput) -> Self {
        let stop_reason = stop_reason(output);
        let explanation = Some(output.refusal.as_str()).filter(|refusal| !refusal.is_empty());
        let details = || StopDetails { r#type: "refusal", category: None, explanation };
        Self {
            stop_reason: Some(stop_reason),
            stop_sequence: output.stop_sequence.as_deref().filter(|_| stop_reason == "stop_sequence"),
            stop_details: (stop_reason == "refusal").then(details),
        }
    }
}

fn stop_reason(output: &ChatOutput) -> &'static str {
    match output.finish_reason {
        Some(FinishReason::Length) => "max_tokens",
        Some(FinishReason::ContentFilter) => "refusal",
        _ if !output.refusal.is_empty() => "refusal",
        // Some providers report `stop` for a call that they were told to make.
        _ if !output.tool_calls.is_empty() => "tool_use",
        _ if output.stop_sequence.is_some() => "stop_sequence",
        _ => "end_turn",
    }
}

/// Token usage. Unlike Dynode's, the input excludes tokens read from or written to a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Usage {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct OutputDetails {
    thinking_tokens: u64,
}

impl From<&schemas::Usage> for Usage {
    fn from(usage: &schemas::Usage) -> Self {
        let cached = usage.cached_tokens.saturating_add(usage.cache_write_tokens);
        Self {
            input_tokens: usage.input_tokens.saturating_sub(cached),
            cache_creation_input_tokens: usage.cache_write_tokens,
            cache_read_input_tokens: usage.cached_tokens,
            output_tokens: usage.output_tokens,
            output_tokens_details: OutputDetails { thinking_tokens: usage.reasoning_tokens },
        }
    }
}

/// One event of a stream.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Event<'a> {
    MessageStart { message: Message<'a> },
    ContentBlockStart { index: u32, content_block: Block<'a> },
    ContentBlockDelta { index: u32, delta: Piece<'a> },
    ContentBlockStop { index: u32 },
    MessageDelta { delta: Ending<'a>, usage: Usage },
    MessageStop,
}

impl Event<'_> {
    /// The event as sent in the stream, with its name: the SDKs skip events without one.
    pub(super) fn encode(&self) -> Result<Bytes, Error> {
        let name = match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        };
        Ok(sse::named(None, name, &Format::Json.encode(self)?))
    }
}
