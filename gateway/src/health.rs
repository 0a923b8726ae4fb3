//! Answers probes: whether the process is alive and should get work, what it measures, and what it is.

use axum::{
    Extension, Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use broker::Link;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    app::{App, Shared},
    openapi,
    router::Side,
};

/// Why no door can accept anything; worded the same everywhere.
pub(crate) const BROKER_UNREACHABLE: &str = "the broker is not reachable";

/// The state of the workers, as far as their supervisor knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Why new requests are not welcome; empty if they are.
    pub unready: Vec<String>,
    /// What a person must look at, although requests are answered.
    pub alarms: Vec<String>,
}

/// The answer of a live process.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Alive {
    /// Always this.
    #[schemars(extend("const" = "live"))]
    status: &'static str,
}

/// The answer to a readiness probe.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Readiness {
    /// `ready` or `unready`.
    status: &'static str,
    /// Why new requests are not welcome; empty if they are.
    reasons: Vec<String>,
    /// What a person must look at, although requests are answered.
    alarms: Vec<String>,
}

/// `GET /health/live`: the runtime answers. Nothing else counts, since the prober restarts a process that is not live:
/// that mends neither a lost broker nor dying workers, and what it would mend ends the process by itself.
pub(crate) async fn live() -> Json<Alive> {
    Json(Alive { status: "live" })
}

/// `GET /health/ready`: 200 if new requests are welcome, else 503 with the reasons; and what a person must look at.
pub(crate) async fn ready(State(app): State<App>) -> Response {
    Readiness::of(&app).into_response()
}

/// The same while there is no broker yet.
pub(crate) async fn starting() -> Response {
    let unready = vec!["starting".to_owned(), BROKER_UNREACHABLE.to_owned()];
    Readiness::new(Standing { unready, alarms: Vec::new() }).into_response()
}

/// `GET /metrics`: Prometheus text.
pub(crate) async fn metrics(State(app): State<App>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], (app.parts.metrics)().await).into_response()
}

/// `GET /`: what this is, and which doors are at this address.
pub(crate) async fn index(State(app): State<App>, Extension(side): Extension<Side>) -> Json<Value> {
    let mut index = openapi::index(side);
    index.insert("name".to_owned(), "dynode".into());
    index.insert("version".to_owned(), app.parts.version.clone().into());
    if side != Side::Operators {
        index.insert("websocket".to_owned(), "/ws".into());
    }
    Json(index.into())
}

/// What `system.health` answers on a WebSocket.
pub(crate) fn report(app: &Shared) -> Value {
    let Readiness { status, reasons, alarms } = Readiness::of(app);
    json!({ "status": status, "reasons": reasons, "alarms": alarms, "version": app.parts.version })
}

impl Readiness {
    fn of(app: &Shared) -> Self {
        let mut own = Vec::new();
        if app.draining.is_cancelled() {
            own.push("draining".to_owned());
        }
        if matches!(*app.parts.broker.link().borrow(), Link::Down(_)) {
            own.push(BROKER_UNREACHABLE.to_owned());
        }
        let Standing { unready, alarms } = (app.parts.standing)();
        own.extend(unready);
        Self::new(Standing { unready: own, alarms })
    }

    fn new(standing: Standing) -> Self {
        let Standing { unready: reasons, alarms } = standing;
        Self { status: if reasons.is_empty() { "ready" } else { "unready" }, reasons, alarms }
    }
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let status = if self.reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}
