//! `POST /v1/chat/completions`: what is answered, as one body or as a script of chunks.
//! It answers with words as many as the behaviour says, or, where tools are offered and no result of one is
//! there yet, with a call of the first of them (or of the one `tool_choice` names).

mod completion;
mod request;
mod script;
mod text;
mod tool;

use axum::http::StatusCode;

use super::behaviour::Fault;
use super::errors::ApiError;
use super::exchange::{Answer, Ask};
use request::ChatRequest;
pub(super) use script::Script;
use tool::ToolCall;

/// The `system_fingerprint` of every answer.
const FINGERPRINT: &str = "fp_sim";

/// What the one message of the answer is.
enum Reply {
    Text { tokens: u32, finish: &'static str },
    Tool(ToolCall),
}

impl Reply {
    /// The tokens it is made of, which is the chunks its body has.
    fn tokens(&self) -> u32 {
        match self {
            Self::Text { tokens, .. } => *tokens,
            Self::Tool(call) => u32::try_from(call.pieces.len()).unwrap_or(u32::MAX),
        }
    }

    const fn finish(&self) -> &'static str {
        match self {
            Self::Text { finish, .. } => finish,
            Self::Tool(_) => "tool_calls",
        }
    }
}

/// From what was asked to the completion, whole or streamed.
pub(super) fn compose(ask: &Ask) -> Result<Answer, ApiError> {
    let request = ChatRequest::read(&ask.body)?;
    let reply = match request.tool {
        Some(tool) => Reply::Tool(ToolCall::new(&ask.id, tool)),
        None => match request.max_tokens {
            Some(max) if max < ask.behaviour.tokens => Reply::Text { tokens: max, finish: "length" },
            _ => Reply::Text { tokens: ask.behaviour.tokens, finish: "stop" },
        },
    };
    let tokens = reply.tokens();
    let usage = completion::Usage::new(request.prompt_tokens, tokens.saturating_mul(request.choices));
    let usage = (ask.behaviour.fault != Some(Fault::NoUsage)).then_some(usage);
    if request.stream {
        let usage = usage.filter(|_| request.include_usage);
        return Ok(Answer::Stream(Script::new(ask, reply, request.choices, usage)));
    }
    let body = completion::body(ask, &reply, request.choices, usage)
        .map_err(|_| ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    Ok(Answer::Whole { body, tokens })
}
