//! `GET /v1/models` and `GET /v1/models/{id}`: the listed models, and any name the grammar knows.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::calls::{Call, CallOutcome, OpenCall};
use super::errors::ApiError;
use super::sim::{Sim, stamp};

/// `created` of every model: a date is required, and the same one keeps answers comparable.
const CREATED_UNIX_SECONDS: i64 = 1_760_000_000;

/// Lists the configured models.
pub(super) async fn list(State(sim): State<Arc<Sim>>, headers: HeaderMap) -> Response {
    let models =
        || json!({"object": "list", "data": sim.models.iter().map(|id| model(id)).collect::<Vec<_>>()});
    answer(&sim, Call::arrived("/v1/models", &headers), &headers, || Ok(models()))
}

/// Describes one model.
pub(super) async fn retrieve(
    State(sim): State<Arc<Sim>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let call = Call { model: Some(id.clone()), ..Call::arrived("/v1/models/{model}", &headers) };
    answer(&sim, call, &headers, || sim.behaviour_of(&id).map(|_| model(&id)))
}

fn answer(
    sim: &Sim,
    call: Call,
    headers: &HeaderMap,
    describe: impl FnOnce() -> Result<Value, ApiError>,
) -> Response {
    let started = Instant::now();
    let mut call = OpenCall::new(sim.calls.clone(), call, None);
    let mut response = match sim.authorise(headers).and_then(|()| describe()) {
        Ok(body) => {
            call.end(CallOutcome::Answered, 200);
            Json(body).into_response()
        }
        Err(error) => {
            call.end(CallOutcome::Refused, error.status.as_u16());
            error.into_response()
        }
    };
    stamp(response.headers_mut(), &sim.next_id(), started.elapsed(), None);
    response
}

fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": CREATED_UNIX_SECONDS, "owned_by": "dynode-sim"})
}
