//! Formats errors for the doors: HTTP status, headers and OpenAI error object; WebSocket frame. Clients of Anthropic's
//! API get them [in its own format](crate::anthropic::refusal).

use std::sync::Arc;

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use broker::ErrorKind;
use bytes::Bytes;
use schemars::JsonSchema;
use schemas::{Error, ErrorCode, Format};
use serde::Serialize;

use crate::app::{self, overloaded};

pub(crate) const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
pub(crate) const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
pub(crate) const X_ESTIMATED_WAIT: HeaderName = HeaderName::from_static("x-dynode-estimated-wait-ms");

/// A request that was refused: nothing of it runs.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// Marks a response as a refusal, for the counter at the door.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused(pub(crate) ErrorCode);

/// The error in a response, for a layer that rewrites it.
#[derive(Debug, Clone)]
pub(crate) struct Told(pub(crate) Arc<Error>);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = response(&self.0);
        response.extensions_mut().insert(Refused(self.0.code));
        response
    }
}

/// An error, in the format of the OpenAI API.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ErrorBody")]
pub(crate) struct ErrorBody<'a> {
    /// What went wrong.
    error: Object<'a>,
}

/// The error object of the OpenAI API; all four keys are always present.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ErrorObject")]
struct Object<'a> {
    /// What is wrong and how to fix it, for people.
    message: &'a str,
    /// The class of the error, as the OpenAI SDKs distinguish them.
    r#type: &'a str,
    /// The field at fault, as a path such as `messages[0].role`.
    param: Option<&'a str>,
    /// The code, for programs.
    code: &'a str,
}

fn envelope(error: &Error) -> ErrorBody<'_> {
    let row = error.code.row();
    let code = match (error.code, error.param.as_deref()) {
        (ErrorCode::NotFound, Some("model" | "payload.model")) => "model_not_found",
        _ => row.name,
    };
    ErrorBody {
        error: Object {
            message: &error.message,
            r#type: row.openai_type,
            param: error.param.as_deref(),
            code,
        },
    }
}

/// The JSON text of the error object, as a stream carries it.
pub(crate) fn text(error: &Error) -> Bytes {
    // Strings and options always encode.
    Format::Json.encode(&envelope(error)).unwrap_or_default()
}

/// The whole HTTP answer.
pub(crate) fn response(error: &Error) -> Response {
    let status =
        StatusCode::from_u16(error.code.row().http_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_status(status, error)
}

/// The whole HTTP answer, with another status than the table's (405).
pub(crate) fn with_status(status: StatusCode, error: &Error) -> Response {
    let mut response = (status, Json(envelope(error))).into_response();
    response.extensions_mut().insert(Told(Arc::new(error.clone())));
    let headers = response.headers_mut();
    if let Some(milliseconds) = error.retry_after_ms {
        // Whole seconds for clients that read only this header, and never 0: the SDKs take that for "no hint".
        headers.insert(header::RETRY_AFTER, HeaderValue::from(milliseconds.div_ceil(1_000).max(1)));
        headers.insert(RETRY_AFTER_MS, HeaderValue::from(milliseconds));
    }
    if let Some(milliseconds) = error.estimated_wait_ms {
        headers.insert(X_ESTIMATED_WAIT, HeaderValue::from(milliseconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    // The SDKs retry 409, 429 and 5xx by themselves unless they are told not to.
    if !error.retryable && (matches!(status.as_u16(), 408 | 409 | 429) || status.is_server_error()) {
        headers.insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    response
}

/// The same error for a door whose body is the payload itself: paths lose their `payload` prefix.
pub(crate) fn relative_to_body(mut error: Error) -> Error {
    let Some(param) = error.param.take() else {
        return error;
    };
    let relative = param.strip_prefix("payload.").map(str::to_owned);
    let why = error.message.strip_prefix(&param).and_then(|rest| rest.strip_prefix(": ")).map(str::to_owned);
    match (relative, param.as_str()) {
        (Some(relative), _) => {
            if let Some(why) = why {
                error.message = format!("{relative}: {why}");
            }
            error.param = Some(relative);
        }
        (None, "payload") => error.message = format!("the body: {}", why.unwrap_or(error.message)),
        (None, _) => error.param = Some(param),
    }
    error
}

/// The error for a sender whose request the broker did not take. It repeats nothing that the broker said; the log tells
/// operators what to fix.
pub(crate) fn of_broker(error: &broker::Error) -> Error {
    let told = match error.kind() {
        ErrorKind::Full => overloaded("the queue is full; nothing was accepted"),
        ErrorKind::TooLarge => Error::new(ErrorCode::TooLarge, "the request is larger than the broker takes"),
        ErrorKind::Disconnected | ErrorKind::Timeout | ErrorKind::Closed => unreachable(),
        _ => {
            tracing::error!(%error, "the broker did not do what a door asked of it");
            return Error::new(
                ErrorCode::Internal,
                "the broker rejected an operation; the server's log says why",
            );
        }
    };
    tracing::debug!(%error, "the broker refused");
    told
}

/// Nothing was sent to the broker, because it cannot be reached.
pub(crate) fn unreachable() -> Error {
    overloaded("the broker is not reachable; send the request again with the same id")
}

/// The error for a sender whose request was sent to the broker and may not be stored. It is not a refusal: nobody knows
/// whether the request runs.
pub(crate) fn of_publish(error: &broker::Error) -> Error {
    match error.kind() {
        ErrorKind::Disconnected | ErrorKind::Timeout => unclear(),
        _ => of_broker(error),
    }
}

/// The broker has not said whether it has the request.
pub(crate) fn unclear() -> Error {
    let why = "the broker did not confirm that it stored the request; send it again with the same id";
    Error::new(ErrorCode::Internal, why).retry_after_ms(app::RETRY_AFTER_MS)
}

#[derive(Serialize)]
struct FailFrame<'a> {
    id: Option<&'a str>,
    attempt: u32,
    seq: u64,
    event: &'static str,
    error: &'a Error,
}

/// The `fail` event of one refused frame; the socket stays open.
pub(crate) fn frame(id: Option<&str>, error: &Error, format: Format) -> Bytes {
    let fail = FailFrame { id, attempt: 0, seq: 0, event: "fail", error };
    // Strings and numbers always encode.
    format.encode(&fail).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_body_of_the_door() {
        let error = relative_to_body(Error::invalid("payload.messages[0].role", "expected a string"));
        assert_eq!(error.param.as_deref(), Some("messages[0].role"));
        assert_eq!(error.message, "messages[0].role: expected a string");
        let error = relative_to_body(Error::invalid("payload", "expected an object"));
        assert_eq!((error.param, error.message.as_str()), (None, "the body: expected an object"));
        let error = relative_to_body(Error::invalid("deadline_ms", "0 is too short"));
        assert_eq!(error.param.as_deref(), Some("deadline_ms"));
    }

    #[test]
    fn an_unknown_model_has_the_code_that_sdks_know() {
        let error = Error { param: Some("model".into()), ..Error::new(ErrorCode::NotFound, "no model `x`") };
        let expected = r#"{"error":{"message":"no model `x`","type":"not_found_error","param":"model","code":"model_not_found"}}"#;
        assert_eq!(text(&error), expected);
    }

    #[test]
    fn nothing_of_what_the_broker_said_is_told() {
        let kinds = [
            ErrorKind::Disconnected,
            ErrorKind::Timeout,
            ErrorKind::Full,
            ErrorKind::Exists,
            ErrorKind::WrongRevision,
            ErrorKind::NotFound,
            ErrorKind::TooLarge,
            ErrorKind::Denied,
            ErrorKind::Invalid,
            ErrorKind::Closed,
        ];
        for kind in kinds {
            let said = "no answer of nats://canary@10.0.0.7:4222 on $JS.API.CANARY (/var/lib/canary)";
            let error = broker::Error::new(kind, said).with_source(std::io::Error::other("canary"));
            for told in [of_broker(&error), of_publish(&error)] {
                let told = format!("{told:?}").to_lowercase();
                assert!(!told.contains("canary") && !told.contains("10.0.0.7"), "{kind:?}: {told}");
            }
        }
    }

    #[test]
    fn only_what_may_succeed_is_retried_by_sdks() {
        let hint = |code| response(&Error::new(code, "x")).headers().get(X_SHOULD_RETRY).cloned();
        for code in [ErrorCode::Conflict, ErrorCode::BudgetExceeded, ErrorCode::ProviderError] {
            assert_eq!(hint(code).unwrap(), "false", "{code}");
        }
        for code in [ErrorCode::Overloaded, ErrorCode::ProviderUnavailable, ErrorCode::InvalidRequest] {
            assert_eq!(hint(code), None, "{code}");
        }
    }

    #[test]
    fn hints_in_whole_seconds_are_never_zero() {
        let response = response(&Error::new(ErrorCode::Overloaded, "x").retry_after_ms(20));
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()["retry-after-ms"], "20");
    }
}
