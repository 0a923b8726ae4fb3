//! Probes: is the process alive, should it be sent work, what does it measure, what is it.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use broker::Link;
use serde_json::{Value, json};

use crate::app::{App, Shared};

/// `GET /health/live`: the runtime answers.
pub(crate) async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

/// `GET /health/ready`: 200 where new requests are welcome, else 503 with the reasons.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let reasons = reasons(&app);
    match reasons.is_empty() {
        true => Json(json!({ "status": "ready" })).into_response(),
        false => {
            let body = Json(json!({ "status": "unready", "reasons": reasons }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

/// `GET /metrics`: Prometheus text.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], (app.parts.metrics)()).into_response()
}

/// `GET /`: what this is and where its doors are.
pub(crate) async fn index(State(app): State<App>) -> Json<Value> {
    Json(json!({
        "name": "dynode",
        "version": app.parts.version,
        "openai": ["/v1/chat/completions", "/v1/embeddings", "/v1/models"],
        "native": ["/v1/requests", "/v1/requests/{id}", "/v1/requests/{id}/events", "/v1/events"],
        "websocket": "/ws",
        "health": ["/health/live", "/health/ready", "/metrics", "/v1/status"],
    }))
}

/// What `system.health` answers on a WebSocket.
pub(crate) fn report(app: &Shared) -> Value {
    let reasons = reasons(app);
    let status = if reasons.is_empty() { "ready" } else { "unready" };
    json!({ "status": status, "reasons": reasons, "version": app.parts.version })
}

/// Why new requests are not welcome now.
fn reasons(app: &Shared) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if app.draining.is_cancelled() {
        reasons.push("draining");
    }
    if matches!(*app.parts.broker.link().borrow(), Link::Down(_)) {
        reasons.push("the broker is not reachable");
    }
    reasons
}
