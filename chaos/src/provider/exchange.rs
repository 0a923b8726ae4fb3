//! Carries one call from its arrival to its answer: reads it, admits it, composes the answer and plays it. Every
//! call under way is in the log, and leaves it with an outcome, however it ends.

use std::sync::Arc;

use axum::Extension;
use axum::extract::FromRequest;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::behaviour::Behaviour;
use super::calls::{Call, CallOutcome, OpenCall};
use super::dialect::Dialect;
use super::errors::ApiError;
use super::limits::Standing;
use super::playback;
use super::sim::Sim;
use super::witness::Witness;
use crate::connections::Line;

/// Where a request came in: whose API, and which part of it.
pub(super) struct Door {
    pub(super) dialect: Dialect,
    pub(super) path: &'static str,
    /// The model, and whether a stream is wanted, if the path says so and not the body.
    pub(super) named: Option<(String, bool)>,
}

impl Door {
    /// A door whose requests name their model in the body.
    pub(super) const fn new(dialect: Dialect, path: &'static str) -> Self {
        Self { dialect, path, named: None }
    }
}

/// A request as it arrived.
#[derive(FromRequest)]
#[from_request(state(Arc<Sim>))]
pub(super) struct Arrival {
    #[from_request(via(Extension))]
    line: Line,
    pub(super) headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
}

/// A request, read as far as all actions have it in common.
pub(super) struct Ask {
    pub(super) dialect: Dialect,
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) body: Value,
    pub(super) behaviour: Behaviour,
    /// What the ids in the answer are made of.
    pub(super) id: String,
    /// Unix seconds.
    pub(super) created: i64,
    /// Length of an embedding, unless the body says another.
    pub(super) dimensions: u32,
}

/// The answer to a call, before pace and fault.
pub(super) enum Answer {
    /// One JSON body, which takes as long as its tokens do.
    Whole { body: Bytes, tokens: u32, billed: u32 },
    /// Events, lines, or the bytes of a file.
    Stream { script: Box<dyn Script>, billed: u32 },
}

/// An answer in chunks, in the API's order. The playback decides when they go out, and whether all of them do; the
/// dialect adds the mark of the end.
pub(super) trait Script: Send {
    /// How many chunks it has in all.
    fn chunks(&self) -> u32;

    fn is_done(&self) -> bool;

    /// Whether the next chunk is a token that comes one gap after the one before it.
    fn next_is_paced(&self) -> bool;

    /// Writes the next chunk as one event.
    fn write_next(&mut self, out: &mut BytesMut);

    /// How the stream tells that it fails, if that depends on how far it has come; otherwise the dialect tells it.
    fn failure(&self) -> Option<String> {
        None
    }

    /// The media type, if the chunks are the bytes of a file, which has no events and no marks.
    fn media_type(&self) -> Option<&'static str> {
        None
    }
}

/// Answers one call. `compose` is the action itself: it turns what was asked into the answer.
pub(super) async fn exchange(
    sim: &Sim,
    door: Door,
    arrival: Arrival,
    compose: impl FnOnce(&Ask) -> Result<Answer, ApiError>,
) -> Response {
    let started = Instant::now();
    let id = sim.next_id();
    let mut standing = None;
    let mut call = Call::arrived(door.path, &arrival.headers);
    let asked = ask(sim, &door, &arrival, &id, &mut call);
    let witness = sim.history.clone().map(|scribe| {
        let body = arrival.body.as_deref().unwrap_or_default();
        Witness::called(scribe, sim.count(), body, call.idempotency_key.clone(), call.model.clone())
    });
    let mut call = OpenCall::new(sim.calls.clone(), call, witness);
    let composed = asked
        .map_err(|error| (CallOutcome::Refused, error))
        .and_then(|asked| admit(sim, &arrival.headers, asked, &mut standing))
        .and_then(|asked| match compose(&asked) {
            Ok(answer) => Ok((asked, answer)),
            Err(error) => Err((CallOutcome::Refused, error)),
        });
    let mut response = match composed {
        Ok((asked, answer)) => {
            if let Some(fault) = asked.behaviour.fault {
                call.hit_by(fault.to_string());
            }
            playback::play(answer, &asked, call, arrival.line).await
        }
        Err((outcome, error)) => {
            let refusal = door.dialect.refuse(&error, &id);
            call.retry_after = error.retry_after;
            call.end(outcome, refusal.status().as_u16());
            refusal
        }
    };
    door.dialect.stamp(response.headers_mut(), &id, started.elapsed(), standing);
    response
}

/// Reads what every action needs: the credential, the JSON, the model and its behaviour.
fn ask(sim: &Sim, door: &Door, arrival: &Arrival, id: &str, call: &mut Call) -> Result<Ask, ApiError> {
    sim.authorise(door.dialect.credential(&arrival.headers))?;
    let body = arrival.body.as_ref().map_err(|rejection| ApiError::body_unreadable(rejection.status()))?;
    let body: Value = serde_json::from_slice(body).map_err(|_| ApiError::not_json())?;
    if !body.is_object() {
        return Err(ApiError::not_json());
    }
    let (model, stream) = match (&door.named, body.get("model")) {
        (Some(named), _) => named.clone(),
        (None, None | Some(Value::Null)) => return Err(ApiError::no_model()),
        (None, Some(Value::String(model))) => (model.clone(), door.dialect.streams(&body)),
        (None, Some(other)) => return Err(ApiError::wrong_type("model", "a string", other)),
    };
    call.model = Some(model.clone());
    call.stream = stream;
    let mut behaviour = sim.behaviour_of(&model)?;
    if let Some(settings) = arrival.headers.get("x-sim") {
        let settings = String::from_utf8_lossy(settings.as_bytes());
        behaviour = behaviour.with(&settings).map_err(|error| ApiError::grammar("x-sim", &error))?;
    }
    let created = Timestamp::now().as_second();
    Ok(Ask {
        dialect: door.dialect,
        model,
        stream,
        body,
        behaviour,
        id: id.to_owned(),
        created,
        dimensions: sim.dimensions,
    })
}

/// Admits the call, and settles which fault hits it. A call that turns out invalid has used up its turn, as
/// with the real API.
fn admit(
    sim: &Sim,
    headers: &HeaderMap,
    mut ask: Ask,
    standing: &mut Option<Standing>,
) -> Result<Ask, (CallOutcome, ApiError)> {
    let rpm = ask.behaviour.rpm;
    match sim.admit(&ask.model, rpm) {
        Ok(admitted) => *standing = admitted,
        Err(wait) => {
            let limit = rpm.unwrap_or_default();
            *standing = Some(Standing { limit, remaining: 0, reset: wait });
            return Err((CallOutcome::RateLimited, ApiError::too_many(&ask.model, limit, wait)));
        }
    }
    let key = headers.get("idempotency-key").or_else(|| headers.get("x-sim-key"));
    let key = key.map(|key| String::from_utf8_lossy(key.as_bytes())).unwrap_or_default();
    ask.behaviour.fault = sim.fault(&ask.behaviour, &ask.model, &key);
    Ok(ask)
}
