//! `/v1/callbacks`: the targets that did not take the last callbacks of a tenant, and those to which nothing is sent any
//! more.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use broker::{Bucket, ErrorKind};
use schemas::{
    Error, ErrorCode, Target,
    target::{id_of, is_id, key},
};
use serde::Serialize;
use tracing::info;

use crate::{
    app::{App, Shared},
    door::Entry,
    refusal::{self, Refusal},
};

/// Targets by their ids.
#[derive(Debug, Serialize)]
pub(crate) struct Targets {
    targets: Vec<Named>,
}

#[derive(Debug, Serialize)]
struct Named {
    id: String,
    #[serde(flatten)]
    target: Target,
}

/// A target to which callbacks are sent again.
#[derive(Debug, Serialize)]
pub(crate) struct Enabled {
    id: String,
}

/// `GET /v1/callbacks`.
pub(crate) async fn list(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
) -> Result<Json<Targets>, Refusal> {
    let (bucket, tenant) = (open(&app).await?, &entry.caller.tenant);
    let keys = bucket.keys().await.map_err(|error| refusal::of_broker(&error))?;
    let mut targets = Vec::new();
    for key in keys {
        let Some(id) = id_of(tenant, &key) else { continue };
        let found = bucket.get(&key).await.map_err(|error| refusal::of_broker(&error))?;
        // One that has just answered is gone by now.
        let target = found.and_then(|(bytes, _)| serde_json::from_slice(&bytes).ok());
        targets.extend(target.map(|target| Named { id: id.to_owned(), target }));
    }
    Ok(Json(Targets { targets }))
}

/// `POST /v1/callbacks/{id}/enable`.
pub(crate) async fn enable(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
) -> Result<Json<Enabled>, Refusal> {
    let (bucket, tenant) = (open(&app).await?, &entry.caller.tenant);
    let unknown = || Error::new(ErrorCode::NotFound, format!("no target of callbacks has the id `{id}`"));
    let key = Some(&id).filter(|id| is_id(id)).map(|id| key(tenant, id)).ok_or_else(unknown)?;
    let found = bucket.get(&key).await.map_err(|error| refusal::of_broker(&error))?;
    found.ok_or_else(unknown)?;
    match bucket.delete(&key).await {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(refusal::of_broker(&error).into()),
        _ => info!(%tenant, id, "callbacks are sent to this target again"),
    }
    Ok(Json(Enabled { id }))
}

async fn open(app: &Shared) -> Result<Box<dyn Bucket>, Error> {
    let bucket = app.broker().bucket(&app.parts.topology.targets()).await;
    bucket.map_err(|error| refusal::of_broker(&error))
}
