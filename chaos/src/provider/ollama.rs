//! Ollama's own API: `POST /api/chat` and `POST /api/embed`. It streams unless it is told not to, in lines of JSON
//! whose last one is `done`.
//!
//! It answers with as many words as the behaviour says or, if tools are offered and no tool result is there yet, with a
//! call of the first tool. If thinking is asked for, it comes first.

mod request;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::behaviour::Fault;
use super::dialect::Dialect;
use super::embeddings::embed as vector_of;
use super::errors::ApiError;
use super::exchange::{Answer, Arrival, Ask, Door, exchange};
use super::fields::{estimate_tokens, number};
use super::frames::Frames;
use super::said::{Said, THOUGHTS, Wish};
use super::sim::Sim;
use request::Request;

pub(super) const MALFORMED_LINE: &[u8] = b"{\"model\":\"malformed\",\"message\":{\"content\":\"\n";

pub(super) const FAILURE_LINE: &str =
    "{\"error\":\"an error was encountered while running the model: unexpected EOF\"}\n";

/// The greatest length of a vector.
const MAX_DIMENSIONS: u32 = 8_192;

/// Answers `/api/chat`.
pub(super) async fn chat(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let door = Door::new(Dialect::Ollama, "/api/chat");
    exchange(&sim, door, arrival, compose).await
}

/// Answers `/api/embed`.
pub(super) async fn embed(State(sim): State<Arc<Sim>>, arrival: Arrival) -> Response {
    let door = Door::new(Dialect::Ollama, "/api/embed");
    exchange(&sim, door, arrival, vectors).await
}

fn compose(ask: &Ask) -> Result<Answer, ApiError> {
    let request = Request::read(&ask.body)?;
    let wish = Wish {
        texts: request.texts.clone(),
        tokens_max: request.tokens_max,
        tool: request.tool,
        schema: request.schema,
    };
    let said = Said::new(ask, format!("call_{}", ask.id), &wish);
    let thoughts: &[&str] = if request.thinks { THOUGHTS } else { &[] };
    let reports = ask.behaviour.fault != Some(Fault::NoUsage);
    let written = said.tokens().saturating_add(u32::try_from(thoughts.len()).unwrap_or(u32::MAX));
    let billed = if reports { request.prompt_tokens.saturating_add(written) } else { 0 };
    let end = end(&said, reports.then_some((request.prompt_tokens, written)));
    if ask.stream {
        return Ok(Answer::Stream { script: Box::new(stream(ask, &said, thoughts, &end)?), billed });
    }
    let mut message = json!({"role": "assistant", "content": ""});
    if !thoughts.is_empty() {
        message["thinking"] = thoughts.concat().into();
    }
    match &said {
        Said::Text { pieces, .. } => message["content"] = pieces.concat().into(),
        Said::Call(_) => message["tool_calls"] = called(&said)?,
    }
    let body = with(line(ask, message), &end).to_string().into();
    Ok(Answer::Whole { body, tokens: said.tokens(), billed })
}

fn stream(ask: &Ask, said: &Said, thoughts: &[&str], end: &Value) -> Result<Frames, ApiError> {
    let mut frames = Frames::new();
    let mut write = |line: Value, paced: bool| frames.push(format!("{line}\n"), paced);
    for thought in thoughts {
        write(line(ask, json!({"role": "assistant", "content": "", "thinking": thought})), false);
    }
    match said {
        Said::Text { pieces, .. } => {
            for (at, piece) in pieces.iter().enumerate() {
                write(line(ask, json!({"role": "assistant", "content": piece})), at > 0);
            }
        }
        Said::Call(_) => {
            write(line(ask, json!({"role": "assistant", "content": "", "tool_calls": called(said)?})), false);
        }
    }
    write(with(line(ask, json!({"role": "assistant", "content": ""})), end), false);
    Ok(frames)
}

fn line(ask: &Ask, message: Value) -> Value {
    json!({"model": ask.model, "created_at": Timestamp::now().to_string(), "message": message, "done": false})
}

fn with(mut line: Value, end: &Value) -> Value {
    if let (Some(line), Some(end)) = (line.as_object_mut(), end.as_object()) {
        line.extend(end.clone());
    }
    line
}

/// What the last line has in addition; durations in nanoseconds.
fn end(said: &Said, used: Option<(u32, u32)>) -> Value {
    let reason = if matches!(said, Said::Text { is_whole: false, .. }) { "length" } else { "stop" };
    let mut end = json!({"done": true, "done_reason": reason, "total_duration": 5_000_000, "load_duration": 1_000_000,
        "prompt_eval_duration": 1_000_000, "eval_duration": 3_000_000});
    if let Some((prompt, written)) = used {
        end["prompt_eval_count"] = prompt.into();
        end["eval_count"] = written.into();
    }
    end
}

/// A call comes whole, with its arguments as an object.
fn called(said: &Said) -> Result<Value, ApiError> {
    let Said::Call(call) = said else { return Ok(json!([])) };
    let arguments: Value = serde_json::from_str(&call.pieces.concat())
        .map_err(|_| ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR))?;
    let function = json!({"index": 0, "name": call.name, "arguments": arguments});
    Ok(json!([{"id": call.id, "function": function}]))
}

fn vectors(ask: &Ask) -> Result<Answer, ApiError> {
    let inputs: Vec<&str> = match ask.body.get("input") {
        Some(Value::String(text)) => vec![text.as_str()],
        Some(Value::Array(texts)) if texts.iter().all(Value::is_string) => {
            texts.iter().filter_map(Value::as_str).collect()
        }
        _ => return Err(ApiError::wrong_value("input", "invalid input type")),
    };
    let dimensions = number(&ask.body, "dimensions", 1, MAX_DIMENSIONS)?.unwrap_or(ask.dimensions);
    let tokens = inputs.iter().fold(0_u32, |sum, text| sum.saturating_add(estimate_tokens(text)));
    let vectors: Vec<_> =
        inputs.iter().map(|text| vector_of(&Sha256::digest(text).into(), dimensions)).collect();
    let mut body = json!({"model": ask.model, "embeddings": vectors, "total_duration": 5_000_000,
        "load_duration": 1_000_000});
    if ask.behaviour.fault != Some(Fault::NoUsage) {
        body["prompt_eval_count"] = tokens.into();
    }
    Ok(Answer::Whole { body: body.to_string().into(), tokens: 1, billed: tokens })
}

/// The response that refuses a call: one sentence.
pub(super) fn refuse(error: &ApiError) -> Response {
    let words = match (&error.model, error.status.as_u16()) {
        (Some(model), _) => format!("model '{model}' not found"),
        (None, 401) => "unauthorized".to_owned(),
        (None, 429) => "too many requests".to_owned(),
        (None, 503) => "server busy, please try again.  maximum pending requests exceeded".to_owned(),
        (None, 500..) => "llama runner process has terminated: exit status 2".to_owned(),
        _ => error.message.clone(),
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    if let Some(seconds) = error.retry_after.map(seconds_of) {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    (error.status, headers, json!({ "error": words }).to_string()).into_response()
}

fn seconds_of(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
}
