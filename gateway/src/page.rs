//! `GET /chat`: serves a page that uses the WebSocket. One file without a build step; its policy lets it run its own
//! script and style, talk to this server, and nothing else.

use std::sync::LazyLock;

use axum::{
    http::{HeaderName, header},
    response::{Html, IntoResponse},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("../../web/chat.html");

/// The policy of the page: it identifies the script and the style by hash, so that no others ever run.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |tag| BASE64_STANDARD.encode(Sha256::digest(between(PAGE, tag)));
    let (script, style) = (hash("script"), hash("style"));
    format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// The page. It holds no secret: the server checks who may use it when the page opens its socket.
pub(crate) async fn chat() -> impl IntoResponse {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_SECURITY_POLICY, &POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Html(PAGE))
}

/// The content of the only element `tag` of `page`.
fn between<'a>(page: &'a str, tag: &str) -> &'a str {
    let inner = page.split_once(&format!("<{tag}>")).map(|(_, rest)| rest);
    inner.and_then(|rest| rest.split_once(&format!("</{tag}>"))).map_or("", |(inner, _)| inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_file_with_one_script_and_one_style() {
        for tag in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1, "{tag}");
            assert!(!between(PAGE, tag).is_empty(), "{tag}");
        }
        for foreign in ["http://", "https://", "src=", " style=", " onclick=", "localStorage", "innerHTML"] {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
    }
}
