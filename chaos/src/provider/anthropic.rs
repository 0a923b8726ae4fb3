//! Anthropic's Messages API: `POST /v1/messages` and `POST /v1/messages/count_tokens`, in both of its versions.
//! It is as strict as the real one: it refuses unknown members and conversations that do not fit together.
//!
//! It answers with as many words as the behaviour says or, if tools are offered and no tool result is there yet,
//! with a call of the first tool (or the one that `tool_choice` names). If thinking is asked for, it comes first.

mod conversation;
mod message;
mod refusal;
mod request;
mod script;

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::behaviour::Fault;
use super::errors::ApiError;
use super::exchange::{Answer, Ask};
use super::limits::Standing;
use super::tool::ToolCall;
use message::Reply;
pub(super) use refusal::refuse;
use request::MessageRequest;
use script::Events;

/// The header that names the version, which every request must have.
pub(super) const VERSION: &str = "anthropic-version";

pub(super) const DONE: &[u8] = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

pub(super) const MALFORMED_EVENT: &[u8] =
    b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"text\":\"\n\n";

pub(super) const FAILURE_EVENT: &str = "event: error\n\
    data: {\"type\":\"error\",\"error\":{\"details\":null,\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";

/// What the rate-limit headers say if no `rpm` is set: the figures of a large account, never used up.
const ROOMY_REQUESTS: u32 = 4_000;
const ROOMY_TOKENS: u32 = 2_000_000;

/// A version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 2023-06-01.
    Earlier,
    /// 2026-10-21, which takes no `temperature`, `top_p` and `top_k`, and has messages of the role `system`.
    Current,
}

impl Version {
    /// The version that the headers name.
    ///
    /// # Errors
    /// When they name none, or an unknown one.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        match headers.get(VERSION).map(HeaderValue::as_bytes) {
            Some(b"2023-06-01") => Ok(Self::Earlier),
            Some(b"2026-10-21") => Ok(Self::Current),
            Some(other) => {
                let problem = format!("\"{}\" is not a valid version", String::from_utf8_lossy(other));
                Err(ApiError::wrong_value(VERSION, &problem))
            }
            None => Err(ApiError::wrong_value(VERSION, "header is required")),
        }
    }
}

/// Answers a call with the message, whole or streamed.
pub(super) fn compose(ask: &Ask, version: Result<Version, ApiError>) -> Result<Answer, ApiError> {
    let request = MessageRequest::read(&ask.body, version?)?;
    let reply = reply(ask, &request);
    let tokens = reply.tokens();
    let reports = ask.behaviour.fault != Some(Fault::NoUsage);
    let billed = if reports { request.prompt_tokens.saturating_add(tokens) } else { 0 };
    let prompt_tokens = reports.then_some(request.prompt_tokens);
    if request.stream {
        let script = Box::new(Events::new(ask, reply, prompt_tokens));
        return Ok(Answer::Stream { script, billed });
    }
    let body = message::body(ask, &reply, prompt_tokens).to_string().into();
    Ok(Answer::Whole { body, tokens, billed })
}

fn reply(ask: &Ask, request: &MessageRequest<'_>) -> Reply {
    let thinking = request.thinks.then_some(message::THINKING);
    match request.tool {
        Some(tool) => {
            let call = ToolCall::new(format!("toolu_{}", ask.id), tool);
            Reply { thinking, said: message::Said::Call(call), stop_reason: "tool_use" }
        }
        None => {
            let tokens = ask.behaviour.tokens.min(request.max_tokens);
            let stop_reason = if tokens < ask.behaviour.tokens { "max_tokens" } else { "end_turn" };
            let said = message::Said::Words { opening: request.opening.clone(), tokens };
            Reply { thinking, said, stop_reason }
        }
    }
}

/// Answers a call with the number of tokens that it has.
pub(super) fn count(ask: &Ask, version: Result<Version, ApiError>) -> Result<Answer, ApiError> {
    let tokens = request::count(&ask.body, version?)?;
    Ok(Answer::Whole { body: json!({"input_tokens": tokens}).to_string().into(), tokens: 1, billed: 0 })
}

/// Puts on a response the headers that every response of the API carries.
pub(super) fn stamp(headers: &mut HeaderMap, id: &str, standing: Option<Standing>) {
    let mut set = |name: &str, value: Option<HeaderValue>| {
        if let (Ok(name), Some(value)) = (HeaderName::try_from(name), value) {
            headers.insert(name, value);
        }
    };
    set("request-id", HeaderValue::try_from(format!("req_{id}")).ok());
    set("anthropic-organization-id", Some(HeaderValue::from_static("dynode-sim")));
    let requests = standing.map_or((ROOMY_REQUESTS, ROOMY_REQUESTS, Duration::ZERO), |standing| {
        (standing.limit, standing.remaining, standing.reset)
    });
    let tokens = (ROOMY_TOKENS, ROOMY_TOKENS, Duration::ZERO);
    let kinds =
        [("requests", requests), ("tokens", tokens), ("input-tokens", tokens), ("output-tokens", tokens)];
    for (kind, (limit, remaining, reset)) in kinds {
        set(&format!("anthropic-ratelimit-{kind}-limit"), Some(limit.into()));
        set(&format!("anthropic-ratelimit-{kind}-remaining"), Some(remaining.into()));
        set(&format!("anthropic-ratelimit-{kind}-reset"), moment_after(reset));
    }
}

/// The first whole second at which `wait` is over.
fn moment_after(wait: Duration) -> Option<HeaderValue> {
    let over = Timestamp::now().checked_add(wait).ok()?;
    let second = over.as_second().checked_add(i64::from(over.subsec_nanosecond() > 0))?;
    HeaderValue::try_from(Timestamp::from_second(second).ok()?.to_string()).ok()
}

/// Whether the same request may be answered a moment later.
const fn is_worth_a_retry(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 429 | 500..)
}
