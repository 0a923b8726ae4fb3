//! A refusal in the words of Anthropic's API.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::is_worth_a_retry;
use crate::provider::errors::ApiError;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The code of a spent budget.
const SPENT: &str = "enforced_spend_limit_reached";

/// The response that refuses the call `id`.
pub(in crate::provider) fn refuse(error: &ApiError, id: &str) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let retry = is_worth_a_retry(error.status) && !is_spent(error);
    headers.insert(SHOULD_RETRY, HeaderValue::from_static(if retry { "true" } else { "false" }));
    // A caller that has spent the month's budget is not told to come back.
    if let Some(wait) = error.retry_after.filter(|_| !is_spent(error)) {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_nanos().div_ceil(1_000_000_000) as u64));
    }
    (error.status, headers, body(error, id).to_string()).into_response()
}

fn body(error: &ApiError, id: &str) -> Value {
    let details = if is_spent(error) { json!({"error_code": SPENT}) } else { Value::Null };
    json!({
        "type": "error",
        "error": {"type": kind(error.status.as_u16()), "message": words(error), "details": details},
        "request_id": format!("req_{id}"),
    })
}

fn is_spent(error: &ApiError) -> bool {
    error.code == Some("insufficient_quota")
}

const fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// Names a wrong member and what is wrong about it, or an unknown model; any other error has one text for its status.
fn words(error: &ApiError) -> String {
    let status = error.status.as_u16();
    if let Some(model) = &error.model {
        return format!("model: {model}");
    }
    match (&error.param, error.code) {
        (Some(param), Some("missing_required_parameter")) => format!("{param}: Field required"),
        (Some(param), Some("invalid_value")) => {
            let problem =
                error.message.split_once("': ").map_or(error.message.as_str(), |(_, problem)| problem);
            format!("{param}: {problem}")
        }
        (Some(param), Some("invalid_type")) => format!("{param}: Input should be of another type"),
        _ => match status {
            401 => "invalid x-api-key".to_owned(),
            402 => "Your credit balance is too low to access the Anthropic API.".to_owned(),
            403 => "Your API key does not have permission to use the specified resource.".to_owned(),
            404 => "Not found".to_owned(),
            429 if is_spent(error) => "You have reached your API usage limit for this month.".to_owned(),
            429 => "This request would exceed your organization's rate limit.".to_owned(),
            504 => "Request timed out.".to_owned(),
            529 => "Overloaded".to_owned(),
            500.. => "Internal server error".to_owned(),
            _ => error.message.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn each_status_has_the_type_that_the_api_gives_it() {
        let table = [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (402, "billing_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (409, "conflict_error"),
            (413, "request_too_large"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (503, "api_error"),
            (504, "timeout_error"),
            (529, "overloaded_error"),
        ];
        for (status, kind) in table {
            let error = ApiError::of_status(StatusCode::from_u16(status).unwrap());
            let body = body(&error, "7");
            assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)), "{status}");
            assert_eq!(body["request_id"], "req_7");
        }
    }

    #[test]
    fn a_wrong_member_is_named_as_the_api_names_it() {
        let table = [
            (ApiError::missing("max_tokens"), "max_tokens: Field required"),
            (
                ApiError::wrong_value("messages", "at least one message is required"),
                "messages: at least one message is required",
            ),
            (ApiError::unknown_model("claude-0"), "model: claude-0"),
        ];
        for (error, message) in table {
            assert_eq!(body(&error, "7")["error"]["message"], message);
        }
    }

    #[test]
    fn a_spent_budget_is_told_by_its_code_and_invites_nobody_back() {
        let error = ApiError::quota().retry_after(Some(std::time::Duration::from_secs(9)));
        assert_eq!(body(&error, "7")["error"]["details"]["error_code"], SPENT);
        let response = refuse(&error, "7");
        assert_eq!(response.headers()[SHOULD_RETRY], "false");
        assert!(!response.headers().contains_key(RETRY_AFTER));
    }
}
