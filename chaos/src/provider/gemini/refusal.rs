//! A refusal in the words of Google's APIs: a status by its name, and details instead of headers.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::provider::errors::ApiError;

/// The response that refuses a call.
pub(in crate::provider) fn refuse(error: &ApiError) -> Response {
    let status = status(error);
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"))];
    (status, headers, format!("{:#}\n", body(error, status))).into_response()
}

/// A wrong key is a wrong argument here, and no key at all is a missing permission.
fn status(error: &ApiError) -> StatusCode {
    match error.status {
        StatusCode::UNAUTHORIZED if is_unknown_key(error) => StatusCode::BAD_REQUEST,
        StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
        status => status,
    }
}

fn is_unknown_key(error: &ApiError) -> bool {
    error.message.starts_with("Incorrect")
}

fn is_spent(error: &ApiError) -> bool {
    error.code == Some("insufficient_quota")
}

fn body(error: &ApiError, status: StatusCode) -> Value {
    let mut said = json!({"code": status.as_u16(), "message": words(error), "status": word(status)});
    let details = details(error);
    if !details.is_empty() {
        said["details"] = details.into();
    }
    json!({ "error": said })
}

const fn word(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

fn words(error: &ApiError) -> String {
    if let Some(model) = &error.model {
        return format!(
            "models/{model} is not found for API version v1beta, or is not supported for generateContent. Call \
             ListModels to see the list of available models and their supported methods."
        );
    }
    match error.status.as_u16() {
        401 if is_unknown_key(error) => "API key not valid. Please pass a valid API key.".to_owned(),
        401 => "Method doesn't allow unregistered callers (callers without established identity). Please use API \
                Key or other form of API consumer identity to call this API."
            .to_owned(),
        429 => "You exceeded your current quota, please check your plan and billing details.".to_owned(),
        503 => "The model is overloaded. Please try again later.".to_owned(),
        500.. => "An internal error has occurred. Please retry.".to_owned(),
        _ => error.message.clone(),
    }
}

/// Why a key is bad, which limit was met, and when to come back.
fn details(error: &ApiError) -> Vec<Value> {
    let of = |kind: &str| format!("type.googleapis.com/google.rpc.{kind}");
    if error.status == StatusCode::UNAUTHORIZED && is_unknown_key(error) {
        let domain = "googleapis.com";
        return vec![json!({"@type": of("ErrorInfo"), "reason": "API_KEY_INVALID", "domain": domain})];
    }
    if error.status != StatusCode::TOO_MANY_REQUESTS {
        return Vec::new();
    }
    let per = if is_spent(error) { "Day" } else { "Minute" };
    let violation = json!({
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
        "quotaId": format!("GenerateRequestsPer{per}PerProjectPerModel-FreeTier"),
    });
    let mut details = vec![json!({"@type": of("QuotaFailure"), "violations": [violation]})];
    if let Some(wait) = error.retry_after {
        let seconds = wait.as_secs_f64();
        details.push(json!({"@type": of("RetryInfo"), "retryDelay": format!("{seconds}s")}));
    }
    details
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn refusals_have_the_words_and_details_of_google() {
        let body = |error: &ApiError| {
            let status = status(error);
            (status.as_u16(), super::body(error, status))
        };
        let (status, wrong) = body(&ApiError::key(true));
        assert_eq!((status, &wrong["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
        assert_eq!(wrong["error"]["details"][0]["reason"], "API_KEY_INVALID");
        let (status, missing) = body(&ApiError::key(false));
        assert_eq!((status, &missing["error"]["status"]), (403, &json!("PERMISSION_DENIED")));
        let (_, slower) = body(&ApiError::too_many("sim", 1, Duration::from_millis(1_500)));
        assert_eq!(slower["error"]["details"][1]["retryDelay"], "1.5s");
        let (_, spent) = body(&ApiError::quota());
        let id = &spent["error"]["details"][0]["violations"][0]["quotaId"];
        assert!(id.as_str().unwrap().contains("PerDay"), "{id}");
        assert_eq!(body(&ApiError::unknown_model("gemini-0")).1["error"]["status"], "NOT_FOUND");
    }
}
