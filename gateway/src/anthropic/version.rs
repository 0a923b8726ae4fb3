//! The version of the API, which the header `anthropic-version` names.

use axum::http::HeaderMap;
use schemas::Error;

const HEADER: &str = "anthropic-version";

/// What the versions differ in, as far as we are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// 2023-06-01.
    Earlier,
    /// 2026-10-21: takes no `temperature`, `top_p` and `top_k`, and has messages of the role `system`.
    Current,
}

impl Version {
    /// The one that the headers name.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Error> {
        match headers.get(HEADER).map(|value| value.as_bytes()) {
            Some(b"2023-06-01") => Ok(Self::Earlier),
            Some(b"2026-10-21") => Ok(Self::Current),
            Some(_) => Err(Error::invalid(HEADER, "expected 2023-06-01 or 2026-10-21")),
            None => Err(Error::invalid(HEADER, "this header is required: 2023-06-01 or 2026-10-21")),
        }
    }
}

/// Whether a request comes from a client of this API, whatever it asks for.
pub(crate) fn is_spoken(headers: &HeaderMap) -> bool {
    headers.contains_key(HEADER)
}
