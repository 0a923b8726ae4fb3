//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use schemas::{Error, ErrorCode};
use serde::Serialize;

use crate::{ModelInfo, app::App, door::Entry, refusal::Refusal};

#[derive(Serialize)]
pub(crate) struct List {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Serialize)]
pub(crate) struct Model {
    id: String,
    object: &'static str,
    created: i64,
    owned_by: String,
}

/// Every model that the caller may ask for.
pub(crate) async fn list(State(app): State<App>, Extension(entry): Extension<Entry>) -> Json<List> {
    let listing = app.parts.catalogue.now();
    let models = listing.models().iter().filter(|info| entry.caller.may_ask_for(&info.id));
    Json(List { object: "list", data: models.map(|info| model(&app, info)).collect() })
}

/// One model. Its id may hold slashes, percent-encoded as the SDKs do or plain.
pub(crate) async fn get(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
) -> Result<Json<Model>, Refusal> {
    let listing = app.parts.catalogue.now();
    match listing.models().iter().find(|info| info.id == id && entry.caller.may_ask_for(&id)) {
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
