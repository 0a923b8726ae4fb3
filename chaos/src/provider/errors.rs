//! The refusals of the OpenAI API: status, body and `Retry-After` as the real one sends them.
//! No message ever repeats a credential.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::behaviour::GrammarError;

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// One refusal; `IntoResponse` gives it its form on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    /// `type` of the error object.
    kind: &'static str,
    pub(super) code: Option<&'static str>,
    pub(super) param: Option<Box<str>>,
    pub(super) message: String,
    /// The model that it is about, if it is about one.
    pub(super) model: Option<Box<str>>,
    pub(super) retry_after: Option<Duration>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code: None,
            param: None,
            message: message.into(),
            model: None,
            retry_after: None,
        }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    fn param(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into().into_boxed_str()), ..self }
    }

    pub(super) fn retry_after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    pub(super) fn not_json() -> Self {
        Self::invalid(
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using \
             your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not \
             valid JSON.)",
        )
    }

    pub(super) fn body_unreadable(status: StatusCode) -> Self {
        let reason = status.canonical_reason().unwrap_or("unreadable");
        Self::new(status, "invalid_request_error", format!("The request body cannot be read: {reason}."))
    }

    pub(super) fn no_model() -> Self {
        Self::invalid("you must provide a model parameter")
    }

    pub(super) fn missing(param: &str) -> Self {
        Self::invalid(format!("Missing required parameter: '{param}'."))
            .param(param)
            .code("missing_required_parameter")
    }

    pub(super) fn wrong_type(param: &str, expected: &str, got: &Value) -> Self {
        let got = match got {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(number) if number.is_f64() => "a decimal",
            Value::Number(_) => "an integer",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        Self::invalid(format!("Invalid type for '{param}': expected {expected}, but got {got} instead."))
            .param(param)
            .code("invalid_type")
    }

    pub(super) fn wrong_value(param: &str, problem: &str) -> Self {
        Self::invalid(format!("Invalid '{param}': {problem}")).param(param).code("invalid_value")
    }

    pub(super) fn unknown_parameter(param: &str) -> Self {
        Self::invalid(format!("Unknown parameter: '{param}'.")).param(param).code("unknown_parameter")
    }

    /// The Responses API's refusal of what chat completions call `param`.
    pub(super) fn moved_parameter(param: &str, now: &str) -> Self {
        let message = format!(
            "Unsupported parameter: '{param}'. In the Responses API, this parameter has moved to '{now}'."
        );
        Self::invalid(message).param(param).code("unsupported_parameter")
    }

    /// There is no response with that id.
    pub(super) fn no_response(id: &str) -> Self {
        Self::invalid(format!("Previous response with id '{id}' not found."))
            .param("previous_response_id")
            .code("previous_response_not_found")
    }

    pub(super) fn grammar(param: &str, error: &GrammarError) -> Self {
        Self::wrong_value(param, &error.to_string())
    }

    /// Answers a credential that is absent or wrong.
    pub(super) fn key(sent: bool) -> Self {
        let message = if sent {
            "Incorrect API key provided."
        } else {
            "You didn't provide an API key. You need to provide your API key in an Authorization header using \
             Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        };
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", message).code("invalid_api_key")
    }

    pub(super) fn unknown_model(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        let error = Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message);
        Self { model: Some(model.into()), ..error.param("model").code("model_not_found") }
    }

    pub(super) fn unknown_url(method: &str, path: &str) -> Self {
        let message = format!("Invalid URL ({method} {path})");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
    }

    pub(super) fn wrong_method(method: &str, path: &str) -> Self {
        let message = format!(
            "Not allowed to {method} on {path}. (HINT: Perhaps you meant to use a different HTTP method?)"
        );
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", message)
            .code("method_not_supported")
    }

    pub(super) fn too_many(model: &str, limit: u32, wait: Duration) -> Self {
        let seconds = wait.as_secs_f64();
        let message = format!(
            "Rate limit reached for {model} on requests per min (RPM): Limit {limit}, Used {limit}, \
             Requested 1. Please try again in {seconds:.3}s."
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
            .code("rate_limit_exceeded")
            .retry_after(Some(wait))
    }

    pub(super) fn quota() -> Self {
        let message = "You exceeded your current quota, please check your plan and billing details.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", message).code("insufficient_quota")
    }

    /// The refusal that belongs to a status alone.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let (kind, code, message) = match status.as_u16() {
            401 => return Self::key(true),
            429 => ("rate_limit_error", Some("rate_limit_exceeded"), "Rate limit reached for requests"),
            403 => ("permission_error", None, "You are not allowed to do this."),
            404 => ("not_found_error", None, "The requested resource was not found."),
            503 => (
                "service_unavailable_error",
                Some("server_is_overloaded"),
                "The engine is currently overloaded, please try again later",
            ),
            500.. => {
                let message = "The server had an error while processing your request. Sorry about that!";
                ("server_error", None, message)
            }
            _ => ("invalid_request_error", None, "The request was refused, as it asked to be."),
        };
        Self { code, ..Self::new(status, kind, message) }
    }

    /// The body; a stream that breaks carries it in an event of its own.
    pub(super) fn body(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = self.retry_after {
            // Rounded up: a caller that returns a moment too early is refused again.
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_nanos().div_ceil(1_000_000_000) as u64));
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(wait.as_nanos().div_ceil(1_000_000) as u64));
        }
        (self.status, headers, self.body().to_string()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_body_has_the_four_members_even_when_they_are_null() {
        let body = ApiError::of_status(StatusCode::INTERNAL_SERVER_ERROR).body();
        assert_eq!(
            body,
            json!({"error": {
                "message": "The server had an error while processing your request. Sorry about that!",
                "type": "server_error", "param": null, "code": null,
            }})
        );
    }

    #[test]
    fn a_wait_is_rounded_up_in_both_headers() {
        let response = ApiError::too_many("sim", 1, Duration::from_micros(1_000_200)).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[RETRY_AFTER_MS], "1001");
    }
}
