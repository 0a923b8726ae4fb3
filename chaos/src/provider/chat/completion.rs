//! A completion that comes as one body.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::Reply;
use crate::provider::exchange::Ask;
use crate::provider::text;

/// What a call used.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Usage {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct PromptDetails {
    cached_tokens: u32,
    audio_tokens: u32,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u32,
    audio_tokens: u32,
    accepted_prediction_tokens: u32,
    rejected_prediction_tokens: u32,
}

impl Usage {
    pub(super) const fn total(&self) -> u32 {
        self.total_tokens
    }

    pub(super) fn new(prompt_tokens: u32, completion_tokens: u32) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            prompt_tokens_details: PromptDetails::default(),
            completion_tokens_details: CompletionDetails::default(),
        }
    }
}

#[derive(Serialize)]
struct Completion<'a> {
    id: String,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    service_tier: &'static str,
    system_fingerprint: &'static str,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<Logprobs>,
    finish_reason: &'static str,
}

/// How likely the tokens were.
#[derive(Serialize)]
struct Logprobs {
    content: Vec<Value>,
    refusal: Option<()>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[ToolMember<'a>; 1]>,
    refusal: Option<()>,
    annotations: [(); 0],
}

#[derive(Serialize)]
struct ToolMember<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: String,
}

/// The body of the completion.
pub(super) fn body(
    ask: &Ask,
    reply: &Reply,
    choices: u32,
    usage: Option<Usage>,
) -> Result<Bytes, serde_json::Error> {
    let choice = |index| Choice {
        index,
        message: message(reply),
        logprobs: logprobs(reply),
        finish_reason: reply.finish(),
    };
    let completion = Completion {
        id: format!("chatcmpl-{}", ask.id),
        object: "chat.completion",
        created: ask.created,
        model: &ask.model,
        choices: (0..choices).map(choice).collect(),
        usage,
        service_tier: "default",
        system_fingerprint: super::FINGERPRINT,
    };
    serde_json::to_vec(&completion).map(Bytes::from)
}

fn logprobs(reply: &Reply) -> Option<Logprobs> {
    let content: Option<Vec<_>> = (0..reply.tokens()).map(|index| reply.logprob(index)).collect();
    content.filter(|content| !content.is_empty()).map(|content| Logprobs { content, refusal: None })
}

fn message(reply: &Reply) -> Message<'_> {
    let (content, tool_calls) = match reply {
        Reply::Text { tokens, opening, .. } => (Some(format!("{opening}{}", text::first(*tokens))), None),
        Reply::Tool(call) => {
            let function = Function { name: &call.name, arguments: call.pieces.concat() };
            (None, Some([ToolMember { id: &call.id, r#type: "function", function }]))
        }
    };
    Message { role: "assistant", content, tool_calls, refusal: None, annotations: [] }
}
