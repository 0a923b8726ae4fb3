//! The one table of errors: every code, its HTTP status, its forms in other APIs, and whether to retry.

use std::{borrow::Cow, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why something was refused or failed. One closed set for every door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request is malformed; `param` names the field. Mend it and send it again.
    InvalidRequest,
    /// No valid key was given.
    Unauthorized,
    /// The key is valid but may not do this.
    Forbidden,
    /// No such request, model, asset or route.
    NotFound,
    /// A body, frame or output is over its limit.
    TooLarge,
    /// The server does not read this format or encoding of the body; `param` names the header. Mend it.
    UnsupportedMediaType,
    /// A rate limit was met; `retry_after_ms` says when to try again.
    RateLimited,
    /// The engine is full and accepted nothing; `retry_after_ms` says when to try again.
    Overloaded,
    /// A budget does not allow it; `retry_after_ms` says when the budget begins anew.
    BudgetExceeded,
    /// The deadline passed before the work was done.
    DeadlineExceeded,
    /// Cancelled by its sender.
    Cancelled,
    /// The provider refused the request or answered nonsense.
    ProviderError,
    /// The provider could not be reached or is overloaded.
    ProviderUnavailable,
    /// The work stopped progressing, and the watchdog ended it.
    Stalled,
    /// The id is in use by a different request.
    Conflict,
    /// The model answered, but not in the form that was asked for.
    InvalidOutput,
    /// A fault of Dynode itself.
    Internal,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The code.
    pub code: ErrorCode,
    /// The name on the wire.
    pub name: &'static str,
    /// The HTTP status.
    pub http_status: u16,
    /// The `type` of an OpenAI error object.
    pub openai_type: &'static str,
    /// The HTTP status in Anthropic's API, which has one of its own for overload.
    pub anthropic_status: u16,
    /// The `type` of an Anthropic error object.
    pub anthropic_type: &'static str,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

const fn row(
    code: ErrorCode,
    name: &'static str,
    http_status: u16,
    openai_type: &'static str,
    anthropic: (u16, &'static str),
    retryable: bool,
) -> Row {
    let (anthropic_status, anthropic_type) = anthropic;
    Row { code, name, http_status, openai_type, anthropic_status, anthropic_type, retryable }
}

/// The table, in the order of the enum.
#[rustfmt::skip]
pub const TABLE: [Row; 17] = [
    row(ErrorCode::InvalidRequest, "invalid_request", 400, "invalid_request_error", (400, "invalid_request_error"), false),
    row(ErrorCode::Unauthorized, "unauthorized", 401, "authentication_error", (401, "authentication_error"), false),
    row(ErrorCode::Forbidden, "forbidden", 403, "permission_error", (403, "permission_error"), false),
    row(ErrorCode::NotFound, "not_found", 404, "not_found_error", (404, "not_found_error"), false),
    row(ErrorCode::TooLarge, "too_large", 413, "invalid_request_error", (413, "request_too_large"), false),
    row(ErrorCode::UnsupportedMediaType, "unsupported_media_type", 415, "invalid_request_error", (415, "invalid_request_error"), false),
    row(ErrorCode::RateLimited, "rate_limited", 429, "rate_limit_error", (429, "rate_limit_error"), true),
    row(ErrorCode::Overloaded, "overloaded", 429, "rate_limit_error", (529, "overloaded_error"), true),
    row(ErrorCode::BudgetExceeded, "budget_exceeded", 429, "insufficient_quota", (429, "rate_limit_error"), false),
    row(ErrorCode::DeadlineExceeded, "deadline_exceeded", 504, "timeout_error", (504, "timeout_error"), false),
    row(ErrorCode::Cancelled, "cancelled", 499, "cancelled_error", (499, "api_error"), false),
    row(ErrorCode::ProviderError, "provider_error", 502, "server_error", (502, "api_error"), false),
    row(ErrorCode::ProviderUnavailable, "provider_unavailable", 503, "service_unavailable_error", (529, "overloaded_error"), true),
    row(ErrorCode::Stalled, "stalled", 504, "timeout_error", (504, "timeout_error"), true),
    row(ErrorCode::Conflict, "conflict", 409, "invalid_request_error", (409, "conflict_error"), false),
    row(ErrorCode::InvalidOutput, "invalid_output", 502, "server_error", (502, "api_error"), false),
    row(ErrorCode::Internal, "internal", 500, "server_error", (500, "api_error"), true),
];

impl ErrorCode {
    /// This code's row of [`TABLE`].
    pub const fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        self.row().name
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a client sees of a failure. `message` says what is wrong and how to mend it, and reveals nothing internal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[error("{code}: {message}")]
pub struct Error {
    /// Which kind of failure.
    pub code: ErrorCode,
    /// What happened, for people.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The offending field, as a path (`payload.messages[0].role`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// When to try again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// How long the queue is expected to take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_wait_ms: Option<u64>,
    /// The HTTP status that the provider answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<u16>,
}

impl Error {
    /// An error of `code`, retryable as its row says.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: code.row().retryable,
            param: None,
            retry_after_ms: None,
            estimated_wait_ms: None,
            upstream_status: None,
        }
    }

    /// A malformed field: `param` is its path, `why` says what was expected.
    pub fn invalid(param: impl Into<Cow<'static, str>>, why: impl fmt::Display) -> Self {
        let param = param.into().into_owned();
        Self { param: Some(param.clone()), ..Self::new(ErrorCode::InvalidRequest, format!("{param}: {why}")) }
    }

    /// The same error with a time to try again, in milliseconds.
    pub fn retry_after_ms(mut self, milliseconds: u64) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_at_its_own_code_and_agrees_with_serde() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.code as usize, index);
            assert_eq!(serde_json::to_value(row.code).unwrap(), row.name);
        }
    }

    #[test]
    fn an_invalid_field_is_named_in_message_and_param() {
        let error = Error::invalid("payload.model", "expected a string");
        assert_eq!(error.message, "payload.model: expected a string");
        assert_eq!(error.param.as_deref(), Some("payload.model"));
    }
}
