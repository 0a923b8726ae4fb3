//! `GET /v1/assets/{id}`: serves a file whole or in part, and not again to a client that already has it.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_range_header::RangeUnsatisfiableError;
use jiff::Timestamp;
use schemars::JsonSchema;
use schemas::{Asset, Error, Role};
use serde::{Deserialize, Serialize};

use super::{Found, by_link, bytes, link::Link, of_tenant, signed_path};
use crate::{
    app::{App, Shared},
    door::{self, Entry, Path, Query},
    refusal::Refusal,
};

/// The query of a signed link: both fields, or it is no link.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Signed {
    /// When a signed link expires, in seconds since 1970.
    expires: Option<String>,
    /// The signature of the link.
    signature: Option<String>,
}

/// A link to an asset that needs no key.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AssetLink {
    /// The path with its signature.
    url: String,
    /// When the link expires.
    expires_at: Timestamp,
    /// The asset that the link leads to.
    asset: Asset,
}

/// `GET` and `HEAD /v1/assets/{id}`, with `Range`, `If-Range` and `If-None-Match`.
pub(crate) async fn get(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
    Query(signed): Query<Signed>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let found = match signed.link()? {
        Some(link) => by_link(&app, &id, &link).await?,
        None => {
            entry.caller.must_be(Role::User)?;
            of_tenant(&app, &id, &entry.caller.tenant).await?
        }
    };
    let etag = format!("\"{}\"", found.asset.sha256);
    let mut response = match part(&headers, &etag, found.asset.bytes) {
        _ if is_known(&headers, &etag) => StatusCode::NOT_MODIFIED.into_response(),
        Part::Whole => body(&app, &found, 0, found.asset.bytes),
        Part::Range(first, last) => {
            let mut response = body(&app, &found, first, last + 1);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            set(&mut response, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{}", found.asset.bytes));
            response
        }
        Part::Unsatisfiable => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            set(&mut response, header::CONTENT_RANGE, &format!("bytes */{}", found.asset.bytes));
            response
        }
    };
    describe(&app, &mut response, &found.asset, &etag);
    Ok(response)
}

/// `GET /v1/assets/{id}/link`: the asset, and a link to it that needs no key.
pub(crate) async fn link_to(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
) -> Result<Json<AssetLink>, Refusal> {
    let found = of_tenant(&app, &id, &entry.caller.tenant).await?;
    let (url, expires_at) = signed_path(&app, &found);
    Ok(Json(AssetLink { url, expires_at, asset: found.asset }))
}

impl Signed {
    fn link(self) -> Result<Option<Link>, Error> {
        let (expires, signature) = match (self.expires, self.signature) {
            (None, None) => return Ok(None),
            (Some(expires), Some(signature)) => (expires, signature),
            (None, _) => return Err(Error::invalid("expires", "is part of a signed link; copy all of it")),
            (_, None) => return Err(Error::invalid("signature", "is part of a signed link; copy all of it")),
        };
        let expires =
            expires.parse().map_err(|_| Error::invalid("expires", "expected seconds since 1970"))?;
        Ok(Some(Link { expires, signature }))
    }
}

/// The part of a file that a client asks for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// The first byte and the last.
    Range(u64, u64),
    Unsatisfiable,
}

/// A single range of bytes is answered as asked. Several ranges, other units, and a range of a file that has changed
/// get the whole file, as HTTP allows.
fn part(headers: &HeaderMap, etag: &str, bytes: u64) -> Part {
    let range = door::text(headers, header::RANGE.as_str()).filter(|range| range.starts_with("bytes="));
    let is_current = headers.get(header::IF_RANGE).is_none_or(|known| known.as_bytes() == etag.as_bytes());
    let Some(range) = range.filter(|_| is_current) else { return Part::Whole };
    let parsed = http_range_header::parse_range_header(&range);
    if range.contains(',') {
        return Part::Whole;
    }
    let ranges = parsed.and_then(|ranges| ranges.validate(bytes));
    match ranges.as_deref() {
        Ok([range]) if bytes > 0 => Part::Range(*range.start(), *range.end()),
        // A suffix longer than the file is the whole file.
        Err(RangeUnsatisfiableError::FileSuffixOutOfBounds) => Part::Whole,
        _ => Part::Unsatisfiable,
    }
}

/// Whether the client already has this content. Its copy may have a weak tag.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// A response with the bytes from `from` to `to`, their type and their length.
fn body(app: &App, found: &Found, from: u64, to: u64) -> Response {
    let mut response = Body::from_stream(bytes(app, found, from, to)).into_response();
    set(&mut response, header::CONTENT_TYPE, &found.asset.media_type);
    set(&mut response, header::CONTENT_LENGTH, &(to - from).to_string());
    response
}

/// Sets the headers that hold for any part of the asset. They let nothing in it run, whatever a browser takes it for.
fn describe(app: &Shared, response: &mut Response, asset: &Asset, etag: &str) {
    let left = asset.expires_at.duration_since(app.broker().now()).as_secs().max(0);
    // The content under an id never changes.
    set(response, header::CACHE_CONTROL, &format!("private, max-age={left}, immutable"));
    set(response, header::ETAG, etag);
    set(response, header::CONTENT_DISPOSITION, &format!("inline; filename=\"{}\"", file_name(asset)));
    let fixed = [
        (header::ACCEPT_RANGES, "bytes"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

/// The id, with the extension for its type.
fn file_name(asset: &Asset) -> String {
    let ending = match asset.media_type.as_str() {
        "audio/mpeg" => "mp3",
        "audio/mp4" => "m4a",
        "image/jpeg" => "jpg",
        "video/quicktime" => "mov",
        other => other.rsplit_once('/').map_or("bin", |(_, name)| name),
    };
    format!("{}.{ending}", asset.id)
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"abc\"";

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn one_range_is_a_part_and_all_else_is_the_whole_or_nothing() {
        let of = |range: &str| part(&headers(&[(header::RANGE, range)]), ETAG, 100);
        assert_eq!(of("bytes=0-9"), Part::Range(0, 9));
        assert_eq!(of("bytes=90-"), Part::Range(90, 99));
        assert_eq!(of("bytes=-10"), Part::Range(90, 99));
        assert_eq!(of("bytes=90-1000"), Part::Range(90, 99), "the end may be guessed too far");
        for bad in ["bytes=100-", "bytes=9-1", "bytes=x", "bytes="] {
            assert_eq!(of(bad), Part::Unsatisfiable, "{bad}");
        }
        for whole in ["bytes=0-1,5-6", "items=0-1", "bytes=-101"] {
            assert_eq!(of(whole), Part::Whole, "{whole}");
        }
        assert_eq!(part(&HeaderMap::new(), ETAG, 100), Part::Whole);
    }

    #[test]
    fn a_part_of_what_has_changed_is_the_whole() {
        let of =
            |known| part(&headers(&[(header::RANGE, "bytes=1-2"), (header::IF_RANGE, known)]), ETAG, 100);
        assert_eq!(of(ETAG), Part::Range(1, 2));
        assert_eq!(of("\"other\""), Part::Whole);
        assert_eq!(of("W/\"abc\""), Part::Whole, "a weak copy is not the same byte by byte");
    }

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        let knows = |tags| is_known(&headers(&[(header::IF_NONE_MATCH, tags)]), ETAG);
        assert!(knows(ETAG) && knows("\"x\", W/\"abc\"") && knows("*"));
        assert!(!knows("\"x\"") && !is_known(&HeaderMap::new(), ETAG));
    }
}
