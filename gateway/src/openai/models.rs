//! The models in the format of the OpenAI API.

use schemars::JsonSchema;
use schemas::{Action, Error, ErrorCode};
use serde::Serialize;

use crate::{ModelInfo, app::Shared, caller::Caller};

/// Every model that the caller may use.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ModelList")]
pub(crate) struct List {
    /// The object type.
    #[schemars(extend("const" = "list"))]
    object: &'static str,
    /// The models, in the order of the configuration.
    data: Vec<Model>,
}

/// A model, or a waterfall of several under a name of its own.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Model {
    /// The value of `model` in a request. May contain slashes.
    id: String,
    /// The object type.
    #[schemars(extend("const" = "model"))]
    object: &'static str,
    /// When this server started, in seconds since 1970.
    created: i64,
    /// Who runs it.
    owned_by: String,
    /// Its action: an addition to the OpenAI format, for clients that offer a choice.
    action: Action,
}

/// The list of models that the caller may use.
pub(crate) fn listing(app: &Shared, caller: &Caller) -> List {
    let listing = app.parts.catalogue.now();
    let models = listing.models().iter().filter(|info| caller.may_ask_for(&info.id));
    List { object: "list", data: models.map(|info| model(app, info)).collect() }
}

/// One model.
pub(crate) fn find(app: &Shared, caller: &Caller, id: &str) -> Result<Model, Error> {
    let listing = app.parts.catalogue.now();
    let found = listing.models().iter().find(|info| info.id == id && caller.may_ask_for(id));
    found.map(|info| model(app, info)).ok_or_else(|| {
        let why = "no such model; GET /v1/models lists them";
        Error { param: Some("model".into()), ..Error::new(ErrorCode::NotFound, why) }
    })
}

fn model(app: &Shared, info: &ModelInfo) -> Model {
    let (id, owned_by) = (info.id.clone(), info.owned_by.clone());
    Model { id, object: "model", created: app.started_s, owned_by, action: info.action }
}
