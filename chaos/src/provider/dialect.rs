//! The simulated APIs, and how they differ besides the questions themselves: where the credential is, what every
//! response carries, how a refusal looks, and which bytes of a stream are not the answer's.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::errors::ApiError;
use super::limits::Standing;
use super::{anthropic, gemini, ollama, openai, responses};

/// The API that a call speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    OpenAi,
    /// OpenAI's too, apart from its streams.
    Responses,
    Anthropic,
    Gemini,
    Ollama,
}

impl Dialect {
    /// The dialect of a request to a path that OpenAI and Anthropic share.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(anthropic::VERSION) { Self::Anthropic } else { Self::OpenAi }
    }

    /// The dialect of a path that only one API has.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let of = |prefix, dialect| path.starts_with(prefix).then_some(dialect);
        of("/v1beta/", Self::Gemini).or_else(|| of("/api/", Self::Ollama))
    }

    /// The caller's credential, in the form of an `authorization` header.
    pub(super) fn credential(self, headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
        let key = match self {
            Self::Anthropic => headers.get("x-api-key"),
            Self::Gemini => headers.get(gemini::KEY),
            Self::OpenAi | Self::Responses | Self::Ollama => None,
        };
        match key {
            // If both are sent, this one counts.
            Some(key) => Some([b"Bearer ", key.as_bytes()].concat().into()),
            None => headers.get(AUTHORIZATION).map(|value| value.as_bytes().into()),
        }
    }

    /// Whether a body asks for a stream, if its path does not say so.
    pub(super) fn streams(self, body: &Value) -> bool {
        body.get("stream").and_then(Value::as_bool).unwrap_or(self == Self::Ollama)
    }

    /// The media type of a stream.
    pub(super) const fn stream_type(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Responses | Self::Anthropic => "text/event-stream; charset=utf-8",
            Self::Gemini => "text/event-stream",
            Self::Ollama => "application/x-ndjson",
        }
    }

    /// The response that refuses the call `id`.
    pub(super) fn refuse(self, error: &ApiError, id: &str) -> Response {
        match self {
            Self::OpenAi | Self::Responses => error.clone().into_response(),
            Self::Anthropic => anthropic::refuse(error, id),
            Self::Gemini => gemini::refuse(error),
            Self::Ollama => ollama::refuse(error),
        }
    }

    /// Puts on a response the headers that every response of the API carries.
    pub(super) fn stamp(
        self,
        headers: &mut HeaderMap,
        id: &str,
        elapsed: Duration,
        standing: Option<Standing>,
    ) {
        match self {
            Self::OpenAi | Self::Responses => openai::stamp(headers, id, elapsed, standing),
            Self::Anthropic => anthropic::stamp(headers, id, standing),
            Self::Gemini => gemini::stamp(headers, elapsed),
            // A self-hosted server says nothing about itself.
            Self::Ollama => {}
        }
    }

    /// What follows the last chunk of a stream.
    pub(super) const fn done(self) -> &'static [u8] {
        match self {
            Self::OpenAi => openai::DONE,
            Self::Anthropic => anthropic::DONE,
            // Their last chunk says that it is the last.
            Self::Responses | Self::Gemini | Self::Ollama => b"",
        }
    }

    /// An event whose JSON ends in the middle.
    pub(super) const fn malformed(self) -> &'static [u8] {
        match self {
            Self::OpenAi => openai::MALFORMED_EVENT,
            Self::Responses => responses::MALFORMED_EVENT,
            Self::Anthropic => anthropic::MALFORMED_EVENT,
            Self::Gemini => gemini::MALFORMED_EVENT,
            Self::Ollama => ollama::MALFORMED_LINE,
        }
    }

    /// The event of a stream that fails.
    pub(super) fn failure(self) -> String {
        match self {
            Self::OpenAi | Self::Responses => {
                format!("data: {}\n\n", ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR).body())
            }
            Self::Anthropic => anthropic::FAILURE_EVENT.to_owned(),
            Self::Gemini => gemini::FAILURE.to_owned(),
            Self::Ollama => ollama::FAILURE_LINE.to_owned(),
        }
    }
}
