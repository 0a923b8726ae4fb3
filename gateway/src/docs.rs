//! Serves the documentation: the OpenAPI document, a page that shows it, and the contract.
//!
//! The page is one file with its style and script inline, and fetches only the document beside it. Its
//! Content-Security-Policy allows exactly that.

use std::sync::LazyLock;

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::openapi;

const STYLE: &str = include_str!("docs/page.css");
const SCRIPT: &str = include_str!("docs/page.js");
const FRAME: &str = include_str!("docs/page.html");
const CONTRACT: &str = include_str!("../../docs/contract.md");

/// The document is the same for as long as the program runs.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi::openapi().to_string().into());
static PAGE: LazyLock<(Bytes, String)> = LazyLock::new(|| {
    let page = FRAME.replace("/* style */", STYLE).replace("/* script */", SCRIPT);
    (page.into(), policy())
});

/// `GET /openapi.json`.
pub(crate) async fn document() -> Response {
    answer("application/json", DOCUMENT.clone())
}

/// `GET /docs`.
pub(crate) async fn page() -> Response {
    let (page, policy) = &*PAGE;
    let mut response = answer("text/html; charset=utf-8", page.clone());
    if let Ok(policy) = HeaderValue::from_str(policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// `GET /docs/contract`, as plain text: browsers would only save Markdown.
pub(crate) async fn contract() -> Response {
    answer("text/plain; charset=utf-8", Bytes::from_static(CONTRACT.as_bytes()))
}

fn answer(kind: &'static str, body: Bytes) -> Response {
    let fixed: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, kind),
        // Another version of the program may answer the next time.
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (fixed, body).into_response()
}

/// What the page may do: run its own script, use its own style, show its empty icon and fetch from this server. Nothing
/// else, and in no frame.
fn policy() -> String {
    let (script, style) = (digest(SCRIPT), digest(STYLE));
    format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    )
}

fn digest(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}
