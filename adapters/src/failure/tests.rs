use reqwest::header::HeaderValue;
use serde_json::json;

use super::*;
use crate::endpoint::tests::endpoint;

fn of(status: u16, body: &str) -> Error {
    of_status(&endpoint(), status, &HeaderMap::new(), body.as_bytes())
}

fn google(code: u16, status: &str, details: Value) -> Value {
    json!({"error": {"code": code, "message": "m", "status": status, "details": details}})
}

fn quota(id: &str) -> Value {
    json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id}]}])
}

/// Each status and body means this code and this remedy.
fn understood(rows: impl IntoIterator<Item = (u16, Value, ErrorCode, Remedy)>) {
    for (status, body, code, remedy) in rows {
        let error = of(status, &body.to_string());
        assert_eq!((error.code, error.remedy), (code, remedy), "{status} {body}: {error}");
        assert_eq!(error.upstream_status, Some(status));
    }
}

#[test]
fn every_refusal_is_understood() {
    use ErrorCode::{InvalidRequest, NotFound, ProviderError, ProviderUnavailable, RateLimited, TooLarge};
    use KeyFault::{Rejected, Spent};
    use Remedy::{DisableKey, FallBack, Fatal, Retry, Throttle};
    let error = |kind: &str, code: Value| json!({"error": {"message": "m", "type": kind, "param": null, "code": code}});
    let rows = [
        (400, error("invalid_request_error", Value::Null), InvalidRequest, Fatal),
        (400, error("invalid_request_error", json!("context_length_exceeded")), InvalidRequest, Fatal),
        (400, error("BadRequestError", json!(400)), InvalidRequest, Fatal),
        (400, error("invalid_request_error", json!("model_not_found")), NotFound, FallBack),
        (400, json!({"error": {"code": "1211", "message": "m"}}), NotFound, FallBack),
        (
            400,
            json!({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}),
            InvalidRequest,
            Fatal,
        ),
        (401, error("invalid_request_error", json!("invalid_api_key")), ProviderError, DisableKey(Rejected)),
        (401, json!({"error": {"code": "1000", "message": "m"}}), ProviderError, DisableKey(Rejected)),
        (402, json!({}), ProviderError, DisableKey(Spent)),
        (403, error("permission_error", Value::Null), ProviderError, FallBack),
        (404, error("invalid_request_error", json!("model_not_found")), NotFound, FallBack),
        (404, json!({"detail": "Not Found"}), NotFound, FallBack),
        (405, json!({}), ProviderError, FallBack),
        (408, json!({}), ProviderUnavailable, Retry),
        (409, json!({}), ProviderUnavailable, Retry),
        (410, json!({}), NotFound, FallBack),
        (413, json!({}), TooLarge, Fatal),
        (418, json!({}), ProviderError, FallBack),
        (422, json!({"detail": [{"loc": ["body"], "msg": "m"}]}), InvalidRequest, Fatal),
        (425, json!({}), ProviderUnavailable, Retry),
        (429, error("rate_limit_error", json!("rate_limit_exceeded")), RateLimited, Throttle),
        (429, error("rate_limit_error", json!("slow_down")), RateLimited, Throttle),
        (429, error("insufficient_quota", json!("insufficient_quota")), ProviderError, DisableKey(Spent)),
        (429, error("billing_error", json!("credit_balance_exhausted")), ProviderError, DisableKey(Spent)),
        (429, json!({"error": {"code": "1113", "message": "m"}}), ProviderError, DisableKey(Spent)),
        (429, json!({"error": {"code": 1113, "message": "m"}}), ProviderError, DisableKey(Spent)),
        (429, json!({"error": {"code": "1302", "message": "m"}}), RateLimited, Throttle),
        (429, Value::Null, RateLimited, Throttle),
        (434, json!({}), ProviderError, FallBack),
        (435, json!({}), TooLarge, Fatal),
        (500, error("server_error", Value::Null), ProviderUnavailable, Retry),
        (502, json!("bad gateway"), ProviderUnavailable, Retry),
        (503, error("service_unavailable_error", json!("server_is_overloaded")), ProviderUnavailable, Retry),
        (504, json!([]), ProviderUnavailable, Retry),
        (529, error("overloaded_error", Value::Null), ProviderUnavailable, Throttle),
        (301, json!({}), ProviderError, FallBack),
        (308, json!({}), ProviderError, FallBack),
    ];
    understood(rows);
}

#[test]
fn so_are_refusals_in_the_words_of_anthropic() {
    use ErrorCode::{InvalidRequest, NotFound, ProviderError, ProviderUnavailable, RateLimited, TooLarge};
    use KeyFault::{Rejected, Spent};
    use Remedy::{DisableKey, FallBack, Fatal, Retry, Throttle};
    let anthropic = |kind: &str, code: &str| {
        let details = if code.is_empty() { Value::Null } else { json!({"error_code": code}) };
        json!({"type": "error", "error": {"type": kind, "message": "m", "details": details}, "request_id": "r"})
    };
    let rows = [
        (400, anthropic("invalid_request_error", ""), InvalidRequest, Fatal),
        (401, anthropic("authentication_error", ""), ProviderError, DisableKey(Rejected)),
        (402, anthropic("billing_error", ""), ProviderError, DisableKey(Spent)),
        (404, anthropic("not_found_error", ""), NotFound, FallBack),
        (409, anthropic("conflict_error", ""), ProviderUnavailable, Retry),
        (413, anthropic("request_too_large", ""), TooLarge, Fatal),
        (429, anthropic("rate_limit_error", ""), RateLimited, Throttle),
        (429, anthropic("rate_limit_error", "ramp_limit_exceeded"), RateLimited, Throttle),
        (
            429,
            anthropic("rate_limit_error", "enforced_spend_limit_reached"),
            ProviderError,
            DisableKey(Spent),
        ),
        (
            429,
            anthropic("rate_limit_error", "contract_spend_limit_reached"),
            ProviderError,
            DisableKey(Spent),
        ),
        (500, anthropic("api_error", ""), ProviderUnavailable, Retry),
        (504, anthropic("timeout_error", ""), ProviderUnavailable, Retry),
        (529, anthropic("overloaded_error", ""), ProviderUnavailable, Throttle),
    ];
    understood(rows);
}

#[test]
fn so_are_refusals_in_the_words_of_google_zai_and_ollama() {
    use ErrorCode::{InvalidRequest, NotFound, ProviderError, ProviderUnavailable, RateLimited};
    use KeyFault::{Rejected, Spent};
    use Remedy::{DisableKey, FallBack, Fatal, Retry, Throttle};
    let rows = [
        (429, json!({"error": {"code": "1313", "message": "m"}}), ProviderError, FallBack),
        (400, json!({"error": {"code": "1214", "message": "m"}}), InvalidRequest, Fatal),
        (400, json!({"error": {"code": "1220", "message": "m"}}), ProviderError, FallBack),
        (500, json!({"error": {"code": "1234", "message": "m"}}), ProviderUnavailable, Retry),
        (400, json!({"error": {"code": "1231", "message": "m"}}), ProviderUnavailable, Retry),
        (400, google(400, "INVALID_ARGUMENT", json!([])), InvalidRequest, Fatal),
        (
            400,
            google(400, "INVALID_ARGUMENT", json!([{"reason": "API_KEY_INVALID"}])),
            ProviderError,
            DisableKey(Rejected),
        ),
        (400, google(400, "FAILED_PRECONDITION", json!([])), ProviderError, FallBack),
        (403, google(403, "PERMISSION_DENIED", json!([])), ProviderError, FallBack),
        (404, google(404, "NOT_FOUND", json!([])), NotFound, FallBack),
        (429, google(429, "RESOURCE_EXHAUSTED", json!([])), RateLimited, Throttle),
        (429, json!([google(429, "RESOURCE_EXHAUSTED", json!([]))]), RateLimited, Throttle),
        (
            429,
            google(429, "RESOURCE_EXHAUSTED", quota("GenerateRequestsPerMinutePerProjectPerModel")),
            RateLimited,
            Throttle,
        ),
        (
            429,
            google(429, "RESOURCE_EXHAUSTED", quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier")),
            ProviderError,
            DisableKey(Spent),
        ),
        (499, google(499, "CANCELLED", json!([])), ProviderUnavailable, Retry),
        (503, google(503, "UNAVAILABLE", json!([])), ProviderUnavailable, Retry),
        (
            400,
            json!({"error": "registry.ollama.ai/library/m does not support tools"}),
            InvalidRequest,
            FallBack,
        ),
        (404, json!({"error": "model 'm' not found"}), NotFound, FallBack),
        (503, json!({"error": "server busy, please try again"}), RateLimited, Throttle),
    ];
    understood(rows);
}

#[test]
fn an_error_inside_an_answer_is_known_by_its_word_alone() {
    use ErrorCode::{InvalidRequest, NotFound, ProviderError, ProviderUnavailable, RateLimited, TooLarge};
    use KeyFault::{Rejected, Spent};
    use Remedy::{DisableKey, FallBack, Fatal, Retry, Throttle};
    let rows = [
        ("overloaded_error", ProviderUnavailable, Throttle),
        ("rate_limit_error", RateLimited, Throttle),
        ("api_error", ProviderUnavailable, Retry),
        ("timeout_error", ProviderUnavailable, Retry),
        ("authentication_error", ProviderError, DisableKey(Rejected)),
        ("billing_error", ProviderError, DisableKey(Spent)),
        ("not_found_error", NotFound, FallBack),
        ("invalid_request_error", InvalidRequest, Fatal),
        ("request_too_large", TooLarge, Fatal),
    ];
    for (word, code, remedy) in rows {
        let body = json!({"type": "error", "error": {"type": word, "message": "m"}}).to_string();
        let error = in_reply(&endpoint(), body.as_bytes());
        assert_eq!((error.code, error.remedy, error.upstream_status), (code, remedy, None), "{word}");
    }
}

#[test]
fn the_last_row_fits_everything() {
    let last = &TABLE[TABLE.len() - 1];
    assert!(last.words.is_empty() && last.status == ANY);
}

#[test]
fn the_provider_is_quoted_in_every_form_of_an_error() {
    let bodies = [
        r#"{"error":{"message":"no such field"}}"#,
        r#"{"error":"no such field"}"#,
        r#"{"object":"error","message":"no such field","code":400}"#,
        r#"[{"error":{"message":"no such field","code":400}}]"#,
        r#"{"detail":"no such field"}"#,
        "no such\r\n\tfield",
        "\"no such field\"",
    ];
    for body in bodies {
        assert_eq!(of(400, body).to_string(), "p: refused the request: no such field", "{body}");
    }
    for body in ["", "<html><body>Bad Request</body></html>", "{}", "null", "{\"error\":null}"] {
        assert_eq!(of(400, body).to_string(), "p: refused the request", "{body}");
    }
}

#[test]
fn no_quote_shows_a_key_or_goes_on_for_ever() {
    let rejected = of(401, r#"{"error":{"message":"Incorrect API key provided: sk-ca***6789"}}"#);
    assert!(!rejected.message.contains("sk-"), "{rejected}");
    let repeated = of(400, r#"{"error":{"message":"header Bearer sk-canary-0123456789 is wrong"}}"#);
    assert!(repeated.message.ends_with("header Bearer [redacted] is wrong"), "{repeated}");
    assert!(of(500, &"x".repeat(10_000)).message.len() < 400);
}

#[test]
fn what_a_provider_says_of_its_own_faults_is_for_the_log() {
    let body = r#"{"error":{"message":"connection to db-7.internal:5432 refused","type":"server_error"}}"#;
    for status in [402, 500, 502, 503, 529] {
        let error = of(status, body);
        assert!(!format!("{:?}", error.to_public()).contains("internal"), "{error:?}");
        assert!(error.source.unwrap().to_string().contains("db-7.internal"));
    }
    let error = of(400, r#"{"error":{"message":"max_tokens is too large"}}"#);
    assert!(error.to_public().message.ends_with("max_tokens is too large"), "{error:?}");
    assert!(of(401, body).source.is_none(), "what may speak of a key is for nobody");
}

#[test]
fn the_wish_for_a_pause_is_read_where_a_call_may_be_repeated() {
    let headers = HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, HeaderValue::from_static("7"))]);
    let of = |status| of_status(&endpoint(), status, &headers, b"").retry_after;
    let wish = Some(Duration::from_secs(7));
    assert_eq!([of(429), of(503), of(529)], [wish; 3]);
    assert_eq!([of(400), of(401)], [None; 2]);
    let reset = reqwest::header::HeaderName::from_static("x-ratelimit-reset-tokens");
    let headers = HeaderMap::from_iter([(reset, HeaderValue::from_static("6m0s"))]);
    let of = |status| of_status(&endpoint(), status, &headers, b"").retry_after;
    assert_eq!(of(429), Some(Duration::from_secs(360)));
    assert_eq!(of(503), None, "a limit that was not met says nothing about a fault");
}

#[test]
fn the_wish_in_a_body_counts_where_no_header_has_one() {
    let delay = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "27.5s"}]);
    let body = google(429, "RESOURCE_EXHAUSTED", delay).to_string();
    assert_eq!(of(429, &body).retry_after, Some(Duration::from_millis(27_500)));
    assert_eq!(in_reply(&endpoint(), body.as_bytes()).retry_after, Some(Duration::from_millis(27_500)));
    assert_eq!(
        of(400, &body.replace("429", "400")).retry_after,
        of(429, &body).retry_after,
        "the word decides"
    );
    let headers = HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, HeaderValue::from_static("7"))]);
    let error = of_status(&endpoint(), 429, &headers, body.as_bytes());
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
}
