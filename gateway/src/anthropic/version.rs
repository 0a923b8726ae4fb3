//! Reads the API version from the header `anthropic-version`.

use axum::http::HeaderMap;
use schemas::Error;

const HEADER: &str = "anthropic-version";

/// The versions, as far as Dynode treats them differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// 2023-06-01.
    Earlier,
    /// 2026-10-21: takes no `temperature`, `top_p` or `top_k`, and has messages with the role `system`.
    Current,
}

impl Version {
    /// The version that the headers name.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Error> {
        match headers.get(HEADER).map(|value| value.as_bytes()) {
            Some(b"2023-06-01") => Ok(Self::Earlier),
            Some(b"2026-10-21") => Ok(Self::Current),
            Some(_) => Err(Error::invalid(HEADER, "expected 2023-06-01 or 2026-10-21")),
            None => Err(Error::invalid(HEADER, "this header is required: 2023-06-01 or 2026-10-21")),
        }
    }
}

/// Whether a request comes from a client of this API, on whatever route.
pub(crate) fn is_spoken(headers: &HeaderMap) -> bool {
    headers.contains_key(HEADER)
}
