//! The middleware of every HTTP request: gives it an id and a span, bounds its body, and counts and logs a refusal.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{
        FromRequestParts, MatchedPath, Request,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use broker::trace::Traced;
use http_body_util::BodyExt;
use opentelemetry::propagation::Extractor;
use schemas::{Error, ErrorCode, Format, RequestId};
use serde_json::Value;
use tokio::time::Instant;
use tracing::info;

use crate::{
    access,
    app::App,
    caller::CallerRef,
    keys::unauthorized,
    passage::Passage,
    refusal::{Refusal, Refused},
    room::Share,
    until::{self, REVOKED},
};

/// Why the gateway refuses a request for which there is no room.
pub(crate) const NO_ROOM: &str =
    "this server holds as many bytes of requests as it may (gateway.bytes_inflight_max)";
/// The header that names the request.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The gateway reads a body over its limit up to this multiple of the limit and discards it, so that a client that only
/// writes gets to read its refusal instead of a reset connection.
const DISCARD_FACTOR: usize = 4;

/// What the door knows of a request before its body is read.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The id of the request, unless its sender names one.
    pub(crate) fresh: RequestId,
    /// Who sends it.
    pub(crate) caller: CallerRef,
}

/// Tells the middleware which id the request got in the end.
#[derive(Debug, Clone)]
pub(crate) struct Named(pub(crate) RequestId);

/// The parameters in the path. Unreadable ones are refused in the form of all errors.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Refusal))]
pub(crate) struct Path<T>(pub(crate) T);

/// The parameters in the query, likewise.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Refusal))]
pub(crate) struct Query<T>(pub(crate) T);

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Self {
        Self(Error::invalid("path", rejection.body_text()))
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self(Error::invalid("query", rejection.body_text()))
    }
}

/// Lets a request in, or refuses it.
pub(crate) async fn enter(passage: &Passage, request: Request, next: Next) -> Response {
    let app = &passage.app;
    let began = Instant::now();
    let (fresh, admitted) = (app.fresh_id(), access::admit(app, &request));
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let span = tracing::debug_span!("request", %method, route, id = %fresh);
    let traced = Traced::of(span, &Carrier(request.headers()));
    let caller = admitted.as_ref().ok().cloned();
    let mut response = match admitted {
        Ok(_) if let Err(error) = check_encoding(request.headers()) => Refusal(error).into_response(),
        Ok(_) if let Err(error) = passage.origins.check(&request) => Refusal(error).into_response(),
        Ok(caller) => traced.run(run(Entry { fresh: fresh.clone(), caller }, request, next)).await,
        Err(error) => Refusal(error).into_response(),
    };
    let id = response.extensions().get::<Named>().map_or(fresh, |named| named.0.clone());
    if let Some(Refused(code)) = response.extensions().get().copied() {
        let tenant = caller.as_ref().map_or("-", |caller| caller.tenant.as_str());
        let status = response.status().as_u16();
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        app.meters.refused("http", code.as_str());
        info!(%id, tenant, %method, route, status, code = code.as_str(), ms, "request refused");
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// Runs a request, and ends its answer once its key is no longer valid.
async fn run(entry: Entry, mut request: Request, next: Next) -> Response {
    let ended = entry.caller.ended();
    request.extensions_mut().insert(entry);
    let Some(ended) = ended else { return next.run(request).await };
    tokio::select! {
        // A ready answer always goes first.
        biased;
        response = next.run(request) => until::ends_with(response, ended.clone()),
        () = ended.cancelled() => Refusal(unauthorized(REVOKED)).into_response(),
    }
}

struct Carrier<'a>(&'a HeaderMap);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// The value of a header, if it is text.
pub(crate) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The id that a client gives in `Idempotency-Key`.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<RequestId>, Error> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Error::invalid("Idempotency-Key", "is given more than once"));
    }
    let shown = String::from_utf8_lossy(value.as_bytes());
    RequestId::new(shown).map(Some).map_err(|error| Error::invalid("Idempotency-Key", error))
}

/// The format of a body by its `Content-Type`; a form or a file is refused.
pub(crate) fn body_format(headers: &HeaderMap, body: &[u8]) -> Result<Format, Error> {
    let named = text(headers, header::CONTENT_TYPE.as_str());
    match named.as_deref() {
        // curl sends this type with every `-d` by default.
        None | Some("application/x-www-form-urlencoded") => Ok(Format::detect(None, body)),
        Some(named) => Format::from_content_type(named)
            .ok_or_else(|| unsupported("Content-Type", "expected application/json or application/msgpack")),
    }
}

/// Checks by its `Content-Type` that a body may be read as JSON; a body without one may.
pub(crate) fn check_json(headers: &HeaderMap, body: &[u8]) -> Result<(), Error> {
    match body_format(headers, body) {
        Ok(Format::MessagePack) if headers.contains_key(header::CONTENT_TYPE) => {
            Err(unsupported("Content-Type", "expected application/json"))
        }
        other => other.map(drop),
    }
}

/// Refuses encoded bodies: a stranger's compressed body may unpack to any size.
fn check_encoding(headers: &HeaderMap) -> Result<(), Error> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(unsupported("Content-Encoding", "only `identity` is accepted: send the body uncompressed"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn unsupported(header: &'static str, why: &str) -> Error {
    let code = ErrorCode::UnsupportedMediaType;
    Error { param: Some(header.to_owned()), ..Error::new(code, format!("{header}: {why}")) }
}

/// The whole body as JSON, and the room that it takes.
pub(crate) async fn read_json(app: &App, headers: &HeaderMap, body: Body) -> Result<(Value, Share), Error> {
    let (body, share) = read_body(app, body).await?;
    check_json(headers, &body)?;
    Ok((Format::Json.decode(&body)?, share))
}

/// The whole body, within the limits of size and time, and the room that it takes.
pub(crate) async fn read_body(app: &App, body: Body) -> Result<(Bytes, Share), Error> {
    read_body_within(app, body, app.config.body_bytes_max).await
}

/// The same within `limit` bytes.
pub(crate) async fn read_body_within(app: &App, body: Body, limit: usize) -> Result<(Bytes, Share), Error> {
    let discard = limit.saturating_mul(DISCARD_FACTOR);
    if body.size_hint().lower() > discard as u64 {
        return Err(too_large(limit));
    }
    let time = Duration::from_millis(app.config.body_read_timeout_ms);
    let mut share = app.room.share();
    match tokio::time::timeout(time, collect(body, limit, discard, &mut share)).await {
        Ok(Ok(Some(bytes))) => Ok((bytes, share)),
        Ok(Ok(None)) => Err(app.spread(app.crowded(NO_ROOM))),
        Ok(Err(error)) => Err(error),
        Err(_) => {
            let why = format!("the body did not arrive within {} ms", time.as_millis());
            Err(Error::new(ErrorCode::InvalidRequest, why))
        }
    }
}

/// Reads the body; `None` if there is no room for it.
async fn collect(
    mut body: Body,
    limit: usize,
    discard: usize,
    share: &mut Share,
) -> Result<Option<Bytes>, Error> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(limit).min(limit);
    let (mut bytes, mut length, mut fits) = (Vec::with_capacity(expected), 0_usize, true);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Error::new(ErrorCode::InvalidRequest, "the connection ended before the whole body had arrived")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > discard {
            break;
        }
        fits = fits && length <= limit && share.grow(data.len());
        if fits {
            bytes.extend_from_slice(&data);
        }
    }
    if length > limit { Err(too_large(limit)) } else { Ok(fits.then(|| bytes.into())) }
}

fn too_large(limit: usize) -> Error {
    Error::new(ErrorCode::TooLarge, format!("the body is over the limit of {limit} bytes"))
}
