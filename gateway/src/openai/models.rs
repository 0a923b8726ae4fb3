//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::{
    Json,
    extract::{Path, State},
};
use schemas::{Action, Error, ErrorCode};
use serde::Serialize;

use crate::{
    ModelInfo,
    app::{App, Shared},
    refusal::Refusal,
};

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
    /// What it does: an addition to the OpenAI form, for those that offer a choice.
    action: Action,
}

/// Every model that can be asked for.
pub(crate) async fn list(State(app): State<App>) -> Json<List> {
    Json(listing(&app))
}

/// All of them as they are listed.
pub(crate) fn listing(app: &Shared) -> List {
    let data = app.parts.catalogue.now().models().iter().map(|info| model(app, info)).collect();
    List { object: "list", data }
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

fn model(app: &Shared, info: &ModelInfo) -> Model {
    let (id, owned_by) = (info.id.clone(), info.owned_by.clone());
    Model { id, object: "model", created: app.started_s, owned_by, action: info.action }
}
