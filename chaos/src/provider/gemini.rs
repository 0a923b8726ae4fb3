//! Google's Gemini API: `POST /v1beta/models/{model}:{method}`, or under `/v1`, for `generateContent`,
//! `streamGenerateContent`, `countTokens`, `embedContent` and `batchEmbedContents`. It is as strict as the real one: it
//! refuses unknown fields, tool calls without results and calls without the signature of their thoughts.
//!
//! It answers with as many words as the behaviour says or, if tools are declared and no tool result is there yet, with
//! a call of the first tool (or the first that is allowed). If thoughts are asked for, they come first.

mod answer;
mod embeddings;
mod refusal;
mod request;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::header::VARY;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use serde_json::json;

use super::dialect::Dialect;
use super::errors::ApiError;
use super::exchange::{Answer, Arrival, Ask, Door, exchange};
use super::sim::Sim;
pub(super) use refusal::refuse;

/// The header that carries the key.
pub(super) const KEY: &str = "x-goog-api-key";

pub(super) const MALFORMED_EVENT: &[u8] =
    b"data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"\r\n\r\n";

/// How a stream fails: with bare JSON over several lines, which is no event.
pub(super) const FAILURE: &str = "{\n  \"error\": {\n    \"code\": 503,\n    \
    \"message\": \"The model is overloaded. Please try again later.\",\n    \"status\": \"UNAVAILABLE\"\n  }\n}\n";

/// The signature of the thoughts that led to a call.
const SIGNATURE: &str = "c2ltdWxhdGVkIHRob3VnaHRz";

/// Answers `models/{model}:{method}`, whatever version stands before it.
pub(super) async fn call(
    State(sim): State<Arc<Sim>>,
    Path(name): Path<String>,
    arrival: Arrival,
) -> Response {
    let target = name.strip_prefix("models/").unwrap_or(&name).rsplit_once(':');
    let Some((model, (path, method))) = target.and_then(|(model, method)| Some((model, method_of(method)?)))
    else {
        return Dialect::Gemini.refuse(&ApiError::unknown_url("POST", &format!("/v1beta/{name}")), "");
    };
    let named = Some((model.to_owned(), method == Method::Stream));
    let door = Door { dialect: Dialect::Gemini, path, named };
    exchange(&sim, door, arrival, |ask| compose(ask, method)).await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Generate,
    Stream,
    Count,
    Embed,
    BatchEmbed,
}

fn method_of(name: &str) -> Option<(&'static str, Method)> {
    match name {
        "generateContent" => Some(("/v1beta/models/{model}:generateContent", Method::Generate)),
        "streamGenerateContent" => Some(("/v1beta/models/{model}:streamGenerateContent", Method::Stream)),
        "countTokens" => Some(("/v1beta/models/{model}:countTokens", Method::Count)),
        "embedContent" => Some(("/v1beta/models/{model}:embedContent", Method::Embed)),
        "batchEmbedContents" => Some(("/v1beta/models/{model}:batchEmbedContents", Method::BatchEmbed)),
        _ => None,
    }
}

fn compose(ask: &Ask, method: Method) -> Result<Answer, ApiError> {
    match method {
        Method::Generate | Method::Stream => answer::compose(ask),
        Method::Count => {
            let asked = request::canonical(&ask.body);
            let body = json!({"totalTokens": request::read(&asked)?.prompt_tokens}).to_string().into();
            Ok(Answer::Whole { body, tokens: 1, billed: 0 })
        }
        Method::Embed => embeddings::one(ask),
        Method::BatchEmbed => embeddings::many(ask),
    }
}

/// Puts on a response the headers that every response of the API carries. They tell neither limits nor an id.
pub(super) fn stamp(headers: &mut HeaderMap, elapsed: Duration) {
    headers.insert(VARY, HeaderValue::from_static("Origin, X-Origin, Referer"));
    if let Ok(timing) = HeaderValue::try_from(format!("gfet4t7; dur={}", elapsed.as_millis())) {
        headers.insert(HeaderName::from_static("server-timing"), timing);
    }
}
