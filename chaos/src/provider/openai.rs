//! What every response of OpenAI's API carries, and the bytes of its streams that are not the answer's.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::limits::{Standing, go_duration};

pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

pub(super) const MALFORMED_EVENT: &[u8] =
    b"data: {\"id\":\"malformed\",\"choices\":[{\"delta\":{\"content\":\"\n\n";

/// What the rate-limit headers say if no `rpm` is set: the figures of a large account, never used up.
const ROOMY_REQUESTS: &str = "30000";
const ROOMY_TOKENS: &str = "150000000";

/// Puts on a response the headers that every response of the API carries.
pub(super) fn stamp(headers: &mut HeaderMap, id: &str, elapsed: Duration, standing: Option<Standing>) {
    let mut set = |name, value| headers.insert(HeaderName::from_static(name), value);
    if let Ok(id) = HeaderValue::try_from(format!("req_{id}")) {
        set("x-request-id", id);
    }
    set("openai-processing-ms", HeaderValue::from(elapsed.as_millis() as u64));
    set("openai-version", HeaderValue::from_static("2020-10-01"));
    set("openai-organization", HeaderValue::from_static("dynode-sim"));
    set("x-ratelimit-limit-tokens", HeaderValue::from_static(ROOMY_TOKENS));
    set("x-ratelimit-remaining-tokens", HeaderValue::from_static(ROOMY_TOKENS));
    set("x-ratelimit-reset-tokens", HeaderValue::from_static("0s"));
    let Some(standing) = standing else {
        set("x-ratelimit-limit-requests", HeaderValue::from_static(ROOMY_REQUESTS));
        set("x-ratelimit-remaining-requests", HeaderValue::from_static(ROOMY_REQUESTS));
        set("x-ratelimit-reset-requests", HeaderValue::from_static("0s"));
        return;
    };
    set("x-ratelimit-limit-requests", HeaderValue::from(standing.limit));
    set("x-ratelimit-remaining-requests", HeaderValue::from(standing.remaining));
    if let Ok(reset) = HeaderValue::try_from(go_duration(standing.reset)) {
        set("x-ratelimit-reset-requests", reset);
    }
}
