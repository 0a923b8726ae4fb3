//! What every answer tells a browser: not to guess types, not to keep it, not to show it inside of another page, and to run
//! nothing in it. An answer that says otherwise itself, as a page does that is meant to be looked at, is left as it is.

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::Response,
};

const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    // The path of a page that links elsewhere, with an id in it, stays here.
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// The same answer with these headers.
pub(crate) fn harden(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}
