//! Serves what vendors made, at `/_files/KIND/NAME`. Like a store behind signed URLs, it takes no key at a host that is
//! not the vendor's own.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::samples;
use crate::provider::calls::{Call, CallOutcome, OpenCall};
use crate::provider::sim::Sim;

/// Longer than any limit on a file.
const HUGE_BYTES: u64 = 1 << 40;

/// The headers in which the vendors expect keys.
const KEY_HEADERS: [&str; 4] = ["authorization", "api-key", "xi-api-key", "x-api-key"];

pub(super) fn routes() -> Router<Arc<Sim>> {
    Router::new().route("/_files/{kind}/{name}", get(fetch))
}

async fn fetch(
    State(sim): State<Arc<Sim>>,
    Path((kind, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let mut call = OpenCall::new(sim.calls.clone(), Call::arrived("/_files", &headers), None);
    let response = answer(&kind, &name, &headers);
    let (outcome, status) = match response.status() {
        status if status.is_success() => (CallOutcome::Answered, status),
        status => (CallOutcome::Refused, status),
    };
    call.end(outcome, status.as_u16());
    response
}

fn answer(kind: &str, name: &str, headers: &HeaderMap) -> Response {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if host.starts_with("localhost") && KEY_HEADERS.iter().any(|key| headers.contains_key(*key)) {
        let why =
            "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>";
        return (StatusCode::BAD_REQUEST, [(CONTENT_TYPE, "application/xml")], why).into_response();
    }
    let (media_type, bytes) = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("mp4") => ("video/mp4", samples::MP4),
        Some("png") => ("image/png", samples::PNG),
        // A file of unknown type, to be recognised by its first bytes.
        _ => ("application/octet-stream", samples::PNG),
    };
    match kind {
        "whole" => ([(CONTENT_TYPE, media_type)], bytes).into_response(),
        "empty" => ([(CONTENT_TYPE, media_type)], "").into_response(),
        "page" => Html("<html><body>Please sign in.</body></html>").into_response(),
        "moved" => {
            (StatusCode::FOUND, [(LOCATION, format!("http://{host}/_files/whole/{name}"))]).into_response()
        }
        "huge" => {
            let headers =
                [(CONTENT_TYPE, HeaderValue::from_static(media_type)), (CONTENT_LENGTH, HUGE_BYTES.into())];
            let endless = axum::body::Body::from_stream(futures_util::stream::repeat_with(|| {
                Ok::<_, std::io::Error>(bytes::Bytes::from_static(samples::PNG))
            }));
            (headers, endless).into_response()
        }
        _ => {
            let why = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
            (StatusCode::FORBIDDEN, [(CONTENT_TYPE, "application/xml")], why).into_response()
        }
    }
}
