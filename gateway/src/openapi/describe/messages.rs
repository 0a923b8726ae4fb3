//! Describes the Messages API of Anthropic.

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::openai::ENDINGS;
use crate::openapi::{
    Operation,
    headers::{ANTHROPIC_VERSION, IDEMPOTENCY_KEY},
    operation::Tag,
};

/// The Messages body. The server refuses a field that it does not know, and names it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct MessageBody {
    /// The model, or a waterfall of several.
    model: String,
    /// The maximum number of tokens in the answer.
    max_tokens: u64,
    /// The conversation.
    messages: Vec<Value>,
    /// Instructions for the model, before the conversation.
    system: Option<Value>,
    /// Tools that the model may call.
    tools: Option<Vec<Value>>,
    /// Which tool the model is to call.
    tool_choice: Option<Value>,
    /// Texts at which the answer stops.
    stop_sequences: Option<Vec<String>>,
    /// Whether the answer comes as events.
    stream: Option<bool>,
}

/// The question whose tokens are counted.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct CountBody {
    /// The model.
    model: String,
    /// The conversation.
    messages: Vec<Value>,
    /// Instructions for the model, before the conversation.
    system: Option<Value>,
    /// Tools that the model may call.
    tools: Option<Vec<Value>>,
}

/// An answer.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Message {
    /// The id of the message.
    id: String,
    /// The object type.
    #[schemars(extend("const" = "message"))]
    r#type: String,
    /// The role of the speaker.
    role: String,
    /// The requested model.
    model: String,
    /// Blocks of text, thinking and tool calls.
    content: Vec<Value>,
    /// Why the answer ended.
    stop_reason: Option<String>,
    /// Tokens used.
    usage: Value,
}

/// The estimated number of tokens in a question.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct TokenCount {
    /// Estimated by a rule of thumb.
    input_tokens: u64,
}

pub(crate) fn create_message() -> Operation {
    Operation::new(
        Tag::Anthropic,
        "create_message",
        "Ask for a message",
        "Ask a model by the Messages API. Point an Anthropic SDK at this server and change nothing else.",
    )
    .header(ANTHROPIC_VERSION)
    .header(IDEMPOTENCY_KEY)
    .takes::<MessageBody>(json!({
        "model": "sim-chat", "max_tokens": 64, "messages": [{ "role": "user", "content": "Hello" }],
    }))
    .answers(200, "The message, or its events.")
    .json::<Message>(json!({
        "id": "msg_0198", "type": "message", "role": "assistant", "model": "sim-chat", "stop_reason": "end_turn",
        "content": [{ "type": "text", "text": "You said: Hello" }], "usage": { "input_tokens": 8, "output_tokens": 4 },
    }))
    .events::<Value>("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
    .refuses(&ENDINGS)
}

pub(crate) fn count_tokens() -> Operation {
    Operation::new(
        Tag::Anthropic,
        "count_tokens",
        "Estimate the tokens of a question",
        "Get about how many tokens a question has, by a rule of thumb. Nothing is sent to a provider.",
    )
    .header(ANTHROPIC_VERSION)
    .takes::<CountBody>(json!({ "model": "sim-chat", "messages": [{ "role": "user", "content": "Hello" }] }))
    .answers(200, "The estimate.")
    .json::<TokenCount>(json!({ "input_tokens": 8 }))
    .refuses(&ENDINGS)
}
