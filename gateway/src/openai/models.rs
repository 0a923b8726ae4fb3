//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::{Json, extract::State};
use schemars::JsonSchema;
use schemas::{Error, ErrorCode};
use serde::Serialize;

use crate::{ModelInfo, app::App, door::Path, refusal::Refusal};

/// Every model that can be asked for.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ModelList")]
pub(crate) struct List {
    /// What this is.
    #[schemars(extend("const" = "list"))]
    object: &'static str,
    /// The models, in the order of the configuration.
    data: Vec<Model>,
}

/// A model, or a waterfall of several under a name of its own.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Model {
    /// What `model` of a request says. May hold slashes.
    id: String,
    /// What this is.
    #[schemars(extend("const" = "model"))]
    object: &'static str,
    /// When this server started, in seconds since 1970.
    created: i64,
    /// Who runs it.
    owned_by: String,
}

/// Every model that can be asked for.
pub(crate) async fn list(State(app): State<App>) -> Json<List> {
    let data = app.parts.catalogue.now().models().iter().map(|info| model(&app, info)).collect();
    Json(List { object: "list", data })
}

/// One model. Its id may hold slashes, percent-encoded as the SDKs do or plain.
pub(crate) async fn get(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Model>, Refusal> {
    match app.parts.catalogue.now().models().iter().find(|info| info.id == id) {
        Some(info) => Ok(Json(model(&app, info))),
        None => {
            let why = "no such model; GET /v1/models lists them";
            Err(Refusal(Error { param: Some("model".into()), ..Error::new(ErrorCode::NotFound, why) }))
        }
    }
}

fn model(app: &App, info: &ModelInfo) -> Model {
    let (id, owned_by) = (info.id.clone(), info.owned_by.clone());
    Model { id, object: "model", created: app.started_s, owned_by }
}
