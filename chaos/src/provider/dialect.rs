//! The APIs that are simulated, and what differs between them beside the questions themselves: where the credential is,
//! what every response carries, how a refusal looks, and the bytes of a stream that are not the answer's.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::errors::ApiError;
use super::limits::Standing;
use super::{anthropic, openai};

/// Whose API a call speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    OpenAi,
    Anthropic,
}

impl Dialect {
    /// Of a request to a path that both have.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(anthropic::VERSION) { Self::Anthropic } else { Self::OpenAi }
    }

    /// What the caller says that it is, as an `authorization` header has it.
    pub(super) fn credential(self, headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
        let key = headers.get("x-api-key").filter(|_| self == Self::Anthropic);
        match key {
            // Where both are sent this one counts.
            Some(key) => Some([b"Bearer ", key.as_bytes()].concat().into()),
            None => headers.get(AUTHORIZATION).map(|value| value.as_bytes().into()),
        }
    }

    /// The response that refuses the call `id`.
    pub(super) fn refuse(self, error: &ApiError, id: &str) -> Response {
        match self {
            Self::OpenAi => error.clone().into_response(),
            Self::Anthropic => anthropic::refuse(error, id),
        }
    }

    /// Puts the headers on a response that every response of the API carries.
    pub(super) fn stamp(
        self,
        headers: &mut HeaderMap,
        id: &str,
        elapsed: Duration,
        standing: Option<Standing>,
    ) {
        match self {
            Self::OpenAi => openai::stamp(headers, id, elapsed, standing),
            Self::Anthropic => anthropic::stamp(headers, id, standing),
        }
    }

    /// What follows the last chunk of a stream.
    pub(super) const fn done(self) -> &'static [u8] {
        match self {
            Self::OpenAi => openai::DONE,
            Self::Anthropic => anthropic::DONE,
        }
    }

    /// An event whose JSON ends in the middle.
    pub(super) const fn malformed(self) -> &'static [u8] {
        match self {
            Self::OpenAi => openai::MALFORMED_EVENT,
            Self::Anthropic => anthropic::MALFORMED_EVENT,
        }
    }

    /// The event of a stream that fails.
    pub(super) fn failure(self) -> String {
        match self {
            Self::OpenAi => {
                format!("data: {}\n\n", ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR).body())
            }
            Self::Anthropic => anthropic::FAILURE_EVENT.to_owned(),
        }
    }
}
