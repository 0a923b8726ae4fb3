//! `POST /v1/chat/completions`: composes the answer, as one body or as a script of chunks.
//! It answers with as many words as the behaviour says or, if tools are offered and no tool result is
//! there yet, with a call of the first tool (or the one that `tool_choice` names).

mod completion;
mod request;
mod script;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::behaviour::Fault;
use super::errors::ApiError;
use super::exchange::{Answer, Ask};
use super::text;
use super::tool::ToolCall;
use crate::history::{key_of, marker, markers};
use request::ChatRequest;
use script::Chunks;

/// The `system_fingerprint` of every answer.
const FINGERPRINT: &str = "fp_sim";

/// The one message of the answer.
enum Reply {
    Text {
        tokens: u32,
        finish: &'static str,
        /// The beginning of the first token: the request's marker, by which its bytes are recognised anywhere.
        opening: String,
        /// How many rivals of each token to tell, if the answer tells how likely tokens are.
        logprobs: Option<u32>,
    },
    Tool(ToolCall),
}

impl Reply {
    /// How many tokens it has: one for each chunk of its body.
    fn tokens(&self) -> u32 {
        match self {
            Self::Text { tokens, .. } => *tokens,
            Self::Tool(call) => u32::try_from(call.pieces.len()).unwrap_or(u32::MAX),
        }
    }

    /// How likely the token at `index` was, if the answer tells that.
    fn logprob(&self, index: u32) -> Option<Value> {
        let Self::Text { opening, logprobs: Some(rivals), .. } = self else { return None };
        let token = text::token(index);
        let token = if index == 0 { format!("{opening}{token}") } else { token.to_owned() };
        let of = |token: &str, rank: u32| json!({"token": token, "logprob": -0.25 - f64::from(rank), "bytes": token.as_bytes()});
        let tops: Vec<_> = (0..*rivals)
            .map(|rank| if rank == 0 { of(&token, 0) } else { of(&format!(" no{rank}"), rank) })
            .collect();
        let mut told = of(&token, 0);
        told["top_logprobs"] = tops.into();
        Some(told)
    }

    const fn finish(&self) -> &'static str {
        match self {
            Self::Text { finish, .. } => finish,
            Self::Tool(_) => "tool_calls",
        }
    }
}

/// Answers a call with the completion, whole or streamed.
pub(super) fn compose(ask: &Ask) -> Result<Answer, ApiError> {
    let request = ChatRequest::read(&ask.body)?;
    let reply = match request.tool {
        Some(tool) => Reply::Tool(ToolCall::new(format!("call_{}", ask.id), tool)),
        None => {
            let (opening, logprobs) = (opening(&ask.body), request.logprobs);
            match request.max_tokens {
                Some(max) if max < ask.behaviour.tokens => {
                    Reply::Text { tokens: max, finish: "length", opening, logprobs }
                }
                _ => Reply::Text { tokens: ask.behaviour.tokens, finish: "stop", opening, logprobs },
            }
        }
    };
    let tokens = reply.tokens();
    let usage = completion::Usage::new(request.prompt_tokens, tokens.saturating_mul(request.choices));
    let usage = (ask.behaviour.fault != Some(Fault::NoUsage)).then_some(usage);
    let billed = usage.map_or(0, |usage| usage.total());
    if request.stream {
        let usage = usage.filter(|_| request.include_usage);
        let billed = usage.map_or(0, |_| billed);
        return Ok(Answer::Stream {
            script: Box::new(Chunks::new(ask, reply, request.choices, usage)),
            billed,
        });
    }
    let body = completion::body(ask, &reply, request.choices, usage)
        .map_err(|_| ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    Ok(Answer::Whole { body, tokens, billed })
}

/// The request's marker from its prompt and a space; empty if there is none.
fn opening(body: &Value) -> String {
    let texts = body.get("messages").and_then(Value::as_array).into_iter().flatten();
    let texts = texts.filter_map(|message| message.get("content").and_then(Value::as_str));
    let key = texts.flat_map(markers).find_map(key_of);
    key.map(|key| format!("{} ", marker(&key))).unwrap_or_default()
}
