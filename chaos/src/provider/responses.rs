//! OpenAI's Responses API: `POST /v1/responses`, whole or as a stream of named events. It is as strict as the real one:
//! it refuses unknown names, the names of the chat completions, and tool results without their calls. It keeps nothing:
//! an earlier response that a request names is not found, as with the real API once it was deleted.
//!
//! It answers as the chat completions do, with words or a tool call; with JSON if `text.format` asks for it. If
//! `reasoning` has an effort, its item comes first, with a summary if one is asked for.

mod events;
mod input;
mod item;
mod request;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::behaviour::Fault;
use super::errors::ApiError;
use super::exchange::{Answer, Ask};
use super::said::{Said, THOUGHTS, Wish};
use events::Events;
use request::Request;

pub(super) const MALFORMED_EVENT: &[u8] =
    b"event: response.in_progress\ndata: {\"type\":\"response.in_progress\",\"response\":{\"id\":\"\n\n";

/// The words of a refusal, in pieces of one token each.
const REFUSAL: [&str; 4] = ["I cannot", " help", " with", " that."];

/// How a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Completed,
    /// Before its time, for this reason.
    Incomplete(&'static str),
    Failed,
}

/// The answer.
struct Reply<'a> {
    ask: &'a Ask,
    request: &'a Request<'a>,
    said: Said,
    /// Whether what it says is a refusal.
    refuses: bool,
    end: End,
}

/// Answers a call with the response, whole or streamed.
pub(super) fn compose(ask: &Ask) -> Result<Answer, ApiError> {
    let request = Request::read(&ask.body)?;
    let reply = Reply::new(ask, &request);
    let tokens = reply.said.tokens();
    let billed =
        if reply.reports() { request.prompt_tokens.saturating_add(reply.output_tokens()) } else { 0 };
    if request.stream {
        let script = Box::new(Events::new(&reply));
        return Ok(Answer::Stream { script, billed });
    }
    let body = reply.ended(reply.items()).to_string().into();
    Ok(Answer::Whole { body, tokens, billed })
}

impl<'a> Reply<'a> {
    fn new(ask: &'a Ask, request: &'a Request<'a>) -> Self {
        let wish = Wish {
            texts: request.texts.clone(),
            tokens_max: request.tokens_max,
            tool: request.tool,
            schema: request.schema,
        };
        let said = Said::new(ask, format!("call_{}", ask.id), &wish);
        let (said, refuses, end) = match (ask.behaviour.fault, said) {
            (Some(Fault::Refusal), _) => (text(REFUSAL.map(str::to_owned).into()), true, End::Completed),
            (Some(Fault::Filtered), said) => (half(said), false, End::Incomplete("content_filter")),
            (Some(Fault::Failed), said) => (half(said), false, End::Failed),
            (_, said @ Said::Text { is_whole: false, .. }) => {
                (said, false, End::Incomplete("max_output_tokens"))
            }
            (_, said) => (said, false, End::Completed),
        };
        Self { ask, request, said, refuses, end }
    }

    fn reports(&self) -> bool {
        self.ask.behaviour.fault != Some(Fault::NoUsage)
    }

    fn reasoning_tokens(&self) -> u32 {
        if self.request.reasons { u32::try_from(THOUGHTS.len()).unwrap_or(u32::MAX) } else { 0 }
    }

    fn output_tokens(&self) -> u32 {
        self.said.tokens().saturating_add(self.reasoning_tokens())
    }

    fn usage(&self) -> Value {
        let (input, output) = (self.request.prompt_tokens, self.output_tokens());
        json!({
            "input_tokens": input,
            "input_tokens_details": {"cached_tokens": self.request.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning_tokens()},
            "total_tokens": input.saturating_add(output),
        })
    }

    /// The response while it is being made.
    fn begun(&self) -> Value {
        item::shell(self.ask, self.request)
    }

    /// The response at its end, made of `items`.
    fn ended(&self, items: Vec<Value>) -> Value {
        let mut response = self.begun();
        response["output"] = items.into();
        response["service_tier"] = "default".into();
        if self.reports() {
            response["usage"] = self.usage();
        }
        response["status"] = match self.end {
            End::Completed => {
                response["completed_at"] = self.ask.created.into();
                "completed".into()
            }
            End::Incomplete(reason) => {
                response["incomplete_details"] = json!({ "reason": reason });
                "incomplete".into()
            }
            End::Failed => {
                response["error"] = failure();
                "failed".into()
            }
        };
        response
    }
}

/// Why a response failed, in its own words.
fn failure() -> Value {
    let message = ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR).message;
    json!({"code": "server_error", "message": message})
}

fn text(pieces: Vec<String>) -> Said {
    Said::Text { pieces, is_whole: true }
}

/// The first half of a text. A call is whole or absent.
fn half(said: Said) -> Said {
    match said {
        Said::Text { mut pieces, .. } => {
            pieces.truncate(pieces.len().div_ceil(2));
            Said::Text { pieces, is_whole: false }
        }
        Said::Call(_) => text(Vec::new()),
    }
}
