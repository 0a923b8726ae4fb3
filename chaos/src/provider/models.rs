//! `GET /v1/models` and `GET /v1/models/{id}`: the listed models, and any name the grammar knows, in the form of the
//! API that the request speaks.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::calls::{Call, CallOutcome, OpenCall};
use super::dialect::Dialect;
use super::errors::ApiError;
use super::sim::Sim;

/// `created` of every model: a date is required, and the same one keeps answers comparable.
const CREATED_UNIX_SECONDS: i64 = 1_760_000_000;

/// The same moment in another form.
const CREATED_AT: &str = "2025-10-09T08:53:20Z";

/// Lists the configured models.
pub(super) async fn list(State(sim): State<Arc<Sim>>, headers: HeaderMap) -> Response {
    let dialect = Dialect::of(&headers);
    let data = || sim.models.iter().map(|id| model(dialect, id)).collect::<Vec<_>>();
    let models = || match dialect {
        Dialect::OpenAi | Dialect::Responses | Dialect::Gemini | Dialect::Ollama => {
            json!({"object": "list", "data": data()})
        }
        Dialect::Anthropic => {
            let (first, last) = (sim.models.first(), sim.models.last());
            json!({"data": data(), "has_more": false, "first_id": first, "last_id": last})
        }
    };
    answer(&sim, Call::arrived("/v1/models", &headers), &headers, || Ok(models()))
}

/// Describes one model.
pub(super) async fn retrieve(
    State(sim): State<Arc<Sim>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let call = Call { model: Some(id.clone()), ..Call::arrived("/v1/models/{model}", &headers) };
    answer(&sim, call, &headers, || sim.behaviour_of(&id).map(|_| model(Dialect::of(&headers), &id)))
}

fn answer(
    sim: &Sim,
    call: Call,
    headers: &HeaderMap,
    describe: impl FnOnce() -> Result<Value, ApiError>,
) -> Response {
    let started = Instant::now();
    let (dialect, id) = (Dialect::of(headers), sim.next_id());
    let mut call = OpenCall::new(sim.calls.clone(), call, None);
    let mut response = match sim.authorise(dialect.credential(headers)).and_then(|()| describe()) {
        Ok(body) => {
            call.end(CallOutcome::Answered, 200);
            Json(body).into_response()
        }
        Err(error) => {
            call.end(CallOutcome::Refused, error.status.as_u16());
            dialect.refuse(&error, &id)
        }
    };
    dialect.stamp(response.headers_mut(), &id, started.elapsed(), None);
    response
}

fn model(dialect: Dialect, id: &str) -> Value {
    match dialect {
        Dialect::OpenAi | Dialect::Responses | Dialect::Gemini | Dialect::Ollama => {
            json!({"id": id, "object": "model", "created": CREATED_UNIX_SECONDS, "owned_by": "dynode-sim"})
        }
        Dialect::Anthropic => {
            json!({"id": id, "type": "model", "display_name": id, "created_at": CREATED_AT, "lifecycle": "active"})
        }
    }
}
