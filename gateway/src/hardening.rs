//! Adds the headers by which every answer tells a browser not to guess types, not to keep it, not to show it inside
//! another page, and to run nothing in it. Headers that the answer sets itself, as pages for people do, stay.

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::Response,
};

const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    // The path of a page may hold an id; sites that the page links to do not learn it.
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// The same answer with these headers added.
pub(crate) fn harden(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}
