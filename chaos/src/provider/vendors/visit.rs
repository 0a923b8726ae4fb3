//! Carries one call of a vendor from its arrival to its answer, as far as all vendors have it in common: the key, the
//! limit, the fault, the body in whichever form it came.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value};

use super::play::play;
use super::twist::Twist;
use crate::connections::Line;
use crate::provider::MAX_BODY_BYTES;
use crate::provider::behaviour::{Behaviour, Fault};
use crate::provider::calls::{Call, CallOutcome, OpenCall};
use crate::provider::playback::{BAD_GATEWAY_PAGE, pause};
use crate::provider::sim::Sim;

/// What one vendor does differently from the others.
#[derive(Debug)]
pub(super) struct Vendor {
    pub(super) name: &'static str,
    pub(super) key_header: &'static str,
    /// What precedes the key.
    pub(super) key_prefix: &'static str,
    /// The body of an error: its status, its code, its message.
    pub(super) error: fn(u16, &str, &str) -> Value,
    /// The code and the message that it has for a status.
    pub(super) words: fn(u16) -> (&'static str, &'static str),
    /// Whether a 429 says when to return.
    pub(super) tells_retry_after: bool,
}

/// A call that was admitted.
pub(super) struct Visit<'a> {
    pub(super) sim: &'a Arc<Sim>,
    pub(super) twist: Twist,
    pub(super) headers: HeaderMap,
    /// The body; for a multipart form, its texts by their names.
    pub(super) payload: Value,
    pub(super) is_multipart: bool,
    path: String,
    query: Vec<(String, String)>,
    pub(super) id: String,
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) content_type: &'static str,
    pub(super) pieces: Vec<Bytes>,
}

/// A refusal, in the vendor's words.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

pub(super) type Answer = Result<Reply, Refusal>;

impl Reply {
    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            content_type: "application/json",
            pieces: vec![body.to_string().into()],
        }
    }

    pub(super) fn bytes(content_type: &'static str, pieces: Vec<Bytes>) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), content_type, pieces }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

impl Visit<'_> {
    /// The n-th segment of the path, from 0.
    pub(super) fn segment(&self, n: usize) -> &str {
        self.path.trim_start_matches('/').split('/').nth(n).unwrap_or_default()
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.payload.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The address under which the call reached this server.
    pub(super) fn base(&self) -> String {
        format!("http://{}", self.header(HOST.as_str()))
    }

    /// Where a file of that name can be fetched, or cannot, as the twist says.
    pub(super) fn file(&self, twist: &Twist, name: &str) -> String {
        format!("http://{}/_files/{}/{name}", self.host(twist), twist.files)
    }

    /// The host by which the call reached this server, or another name for it.
    pub(super) fn host(&self, twist: &Twist) -> String {
        let host = self.header(HOST.as_str());
        let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
        if twist.elsewhere { format!("localhost:{port}") } else { host.to_owned() }
    }
}

/// Answers a call that asks for work: the fault of its behaviour hits it.
pub(super) async fn work(
    sim: Arc<Sim>,
    vendor: &'static Vendor,
    request: Request,
    answer: fn(&Visit<'_>) -> Answer,
) -> Response {
    visit(&sim, vendor, request, answer, true).await
}

/// Answers a call that asks for what is there.
pub(super) async fn look(
    sim: Arc<Sim>,
    vendor: &'static Vendor,
    request: Request,
    answer: fn(&Visit<'_>) -> Answer,
) -> Response {
    visit(&sim, vendor, request, answer, false).await
}

async fn visit(
    sim: &Arc<Sim>,
    vendor: &'static Vendor,
    request: Request,
    answer: fn(&Visit<'_>) -> Answer,
    is_work: bool,
) -> Response {
    let line = request.extensions().get::<Line>().cloned().unwrap_or_default();
    let path = request.uri().path().to_owned();
    let mut call = Call::arrived(&path, request.headers());
    call.model = Some(vendor.name.to_owned());
    let key = key_of(vendor, request.headers());
    let admitted = admit(sim, vendor, request.headers(), key.as_deref(), is_work);
    let mut call = OpenCall::new(sim.calls.clone(), call, None);
    let (behaviour, twist) = match admitted {
        Ok(admitted) => admitted,
        Err((refusal, wait)) => {
            let outcome = if refusal.status == 429 { CallOutcome::RateLimited } else { CallOutcome::Refused };
            call.end(outcome, refusal.status);
            return refused(vendor, &refusal, wait.filter(|_| vendor.tells_retry_after));
        }
    };
    if let Some(fault) = behaviour.fault {
        call.hit_by(fault.to_string());
    }
    pause(behaviour.first_token).await;
    if let Some(response) = refusal(vendor, &behaviour) {
        call.end(CallOutcome::Refused, response.status().as_u16());
        return response;
    }
    let query = request.uri().query().unwrap_or_default();
    let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let headers = request.headers().clone();
    let (payload, is_multipart) = payload(request).await;
    let id = sim.next_id();
    match answer(&Visit { sim, twist, headers, payload, is_multipart, path, query, id }) {
        Ok(reply) => play(reply, &behaviour, call, line),
        Err(refusal) => {
            call.end(CallOutcome::Refused, refusal.status);
            refused(vendor, &refusal, None)
        }
    }
}

type Admitted = Result<(Behaviour, Twist), (Refusal, Option<u64>)>;

/// Checks the key and the limit, and settles the fault.
fn admit(sim: &Sim, vendor: &Vendor, headers: &HeaderMap, key: Option<&str>, is_work: bool) -> Admitted {
    let of_status = |status: u16| {
        let (code, message) = (vendor.words)(status);
        Refusal::new(status, code, message)
    };
    let Some(key) = key else { return Err((of_status(401), None)) };
    let bearer = format!("Bearer {key}");
    sim.authorise(Some(bearer.as_bytes().into())).map_err(|_| (of_status(401), None))?;
    let text =
        |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let wrong = |what: String| (Refusal::new(400, "bad_request", what), None);
    let twist = Twist::read(&text("x-sim-media").unwrap_or_default())
        .map_err(|word| wrong(format!("`{word}` is no twist of the simulator")))?;
    let usual = sim.behaviour_of("sim").unwrap_or_default();
    let behaviour = usual.with(&text("x-sim").unwrap_or_default());
    let mut behaviour = behaviour.map_err(|error| wrong(error.to_string()))?;
    if !is_work {
        return Ok((Behaviour { fault: None, first_token: std::time::Duration::ZERO, ..behaviour }, twist));
    }
    if let Err(wait) = sim.admit(vendor.name, behaviour.rpm) {
        return Err((of_status(429), Some(wait.as_secs() + 1)));
    }
    let key = text("idempotency-key").or_else(|| text("x-sim-key")).unwrap_or_default();
    behaviour.fault = sim.fault(&behaviour, vendor.name, &key);
    Ok((behaviour, twist))
}

fn key_of(vendor: &Vendor, headers: &HeaderMap) -> Option<String> {
    let value = headers.get(vendor.key_header)?.to_str().ok()?;
    value.strip_prefix(vendor.key_prefix).filter(|key| !key.is_empty()).map(str::to_owned)
}

/// What a fault answers instead of everything else.
fn refusal(vendor: &Vendor, behaviour: &Behaviour) -> Option<Response> {
    let status = match behaviour.fault? {
        Fault::Status(status) => status,
        Fault::Quota => 402,
        Fault::ErrorAfter(_) => 500,
        Fault::Html => return Some((StatusCode::BAD_GATEWAY, Html(BAD_GATEWAY_PAGE)).into_response()),
        _ => return None,
    };
    let (code, message) = (vendor.words)(status);
    let wait = behaviour.retry_after.map(|wait| wait.as_secs());
    Some(refused(vendor, &Refusal::new(status, code, message), wait))
}

fn refused(vendor: &Vendor, refusal: &Refusal, retry_after: Option<u64>) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = (vendor.error)(refusal.status, refusal.code, &refusal.message).to_string();
    let mut response = (status, [(CONTENT_TYPE, "application/json")], body).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The body, and whether it came as a multipart form. An unreadable body is null: the vendor says what it misses.
async fn payload(request: Request) -> (Value, bool) {
    let content_type =
        request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with("multipart/form-data") {
        let body = to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap_or_default();
        return (serde_json::from_slice(&body).unwrap_or_default(), false);
    }
    let mut fields = Map::new();
    if let Ok(mut parts) = Multipart::from_request(request, &()).await {
        while let Ok(Some(part)) = parts.next_field().await {
            let name = part.name().unwrap_or_default().to_owned();
            let file = part.file_name().map(str::to_owned);
            let bytes = part.bytes().await.unwrap_or_default();
            let value = match file {
                Some(file) => format!("{file}: {} bytes", bytes.len()),
                None => String::from_utf8_lossy(&bytes).into_owned(),
            };
            fields.insert(name, value.into());
        }
    }
    (Value::Object(fields), true)
}
