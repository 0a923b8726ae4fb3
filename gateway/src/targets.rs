//! `/v1/callbacks`: the targets that did not take the last callbacks of a tenant, and the disabled ones, to which
//! nothing is sent any more.

use axum::{Extension, Json, body::Body, extract::State, http::HeaderMap};
use broker::{Bucket, ErrorKind};
use bytes::Bytes;
use schemars::JsonSchema;
use schemas::{
    Error, ErrorCode, Format, Target, Tenant,
    target::{id, is_id, key, shown},
};
use serde::{Deserialize, Serialize};
use tracing::info;
use url::Url;

use crate::{
    app::{App, Shared},
    caller::Caller,
    door::{self, Entry, Path},
    refusal::{self, Refusal},
};

/// The largest body that names a target, in bytes.
const BODY_BYTES_MAX: usize = 16 << 10;
/// How many times to try to write a record that engines change at the same time.
const TRIES: u32 = 4;
/// The reason recorded when an operator disables a target.
const BY_OPERATOR: &str = "an operator disabled it";

/// Targets with their ids.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CallbackTargets")]
pub(crate) struct Targets {
    /// The targets that did not take their last callbacks, or are disabled.
    targets: Vec<Named>,
}

/// A target to disable.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CallbackTargetToDisable")]
pub(crate) struct Unwanted {
    /// Its URL; the query does not matter.
    #[schemars(extend("format" = "uri"))]
    url: String,
}

/// A target and its id.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CallbackTarget")]
pub(crate) struct Named {
    /// The id that enables the target again.
    id: String,
    /// The tenant whose callbacks are sent there.
    tenant: Tenant,
    #[serde(flatten)]
    target: Target,
}

/// A target to which callbacks are sent again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CallbackTargetEnabled")]
pub(crate) struct Enabled {
    /// The id of the target.
    id: String,
}

/// `GET /v1/callbacks`: the targets of the tenant; for a superadmin, of all tenants.
pub(crate) async fn list(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
) -> Result<Json<Targets>, Refusal> {
    let bucket = open(&app).await?;
    let mut targets = Vec::new();
    for (key, tenant, id) in seen(&*bucket, &entry.caller).await? {
        let found = bucket.get(&key).await.map_err(|error| refusal::of_broker(&error))?;
        // The record of a target that has just answered is gone by now.
        let target = found.and_then(|(bytes, _)| serde_json::from_slice(&bytes).ok());
        targets.extend(target.map(|target| Named { id, tenant, target }));
    }
    Ok(Json(Targets { targets }))
}

/// `POST /v1/callbacks/{id}/enable`: enables it for the tenant; for a superadmin, for all tenants.
pub(crate) async fn enable(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
) -> Result<Json<Enabled>, Refusal> {
    let unknown = || Error::new(ErrorCode::NotFound, format!("no target of callbacks has the id `{id}`"));
    if !is_id(&id) {
        return Err(unknown().into());
    }
    let bucket = open(&app).await?;
    let mut all = seen(&*bucket, &entry.caller).await?;
    all.retain(|(_, _, its)| *its == id);
    if all.is_empty() {
        return Err(unknown().into());
    }
    for (key, tenant, id) in all {
        match bucket.delete(&key).await {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(refusal::of_broker(&error).into());
            }
            _ => info!(%tenant, id, "callbacks are sent to this target again"),
        }
    }
    Ok(Json(Enabled { id }))
}

/// The records that `caller` may see: the key, the tenant and the id of each.
async fn seen(bucket: &dyn Bucket, caller: &Caller) -> Result<Vec<(String, Tenant, String)>, Error> {
    let keys = bucket.keys().await.map_err(|error| refusal::of_broker(&error))?;
    let of = |key: String| {
        let (tenant, id) = key.split_once('.')?;
        let (tenant, id) = (Tenant::new(tenant).ok()?, id.to_owned());
        caller.sees().is_none_or(|own| *own == tenant).then_some((key, tenant, id))
    };
    Ok(keys.into_iter().filter_map(of).collect())
}

/// `POST /v1/callbacks/disable`.
pub(crate) async fn disable(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Named>, Refusal> {
    let (body, _share) = door::read_body_within(&app, body, BODY_BYTES_MAX).await?;
    door::check_json(&headers, &body)?;
    let Unwanted { url } = schemas::codec::from_value(Format::Json.decode(&body)?, "")?;
    let url = Url::parse(&url).map_err(|error| Error::invalid("url", error))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::invalid("url", "expected an http:// or https:// URL").into());
    }
    let (url, tenant) = (shown(&url), &entry.caller.tenant);
    let id = id(&url);
    let target = set_disabled(&app, &key(tenant, &id), url).await?;
    info!(%tenant, id, target = target.url, "an operator disabled this target: nothing is sent there any more");
    Ok(Json(Named { id, tenant: tenant.clone(), target }))
}

/// Records that nothing is sent to `url` any more; keeps what else is known of it.
async fn set_disabled(app: &Shared, key: &str, url: String) -> Result<Target, Error> {
    let bucket = open(app).await?;
    let fresh = Target { url, failures: 0, disabled_at: None, why: BY_OPERATOR.to_owned() };
    for _ in 0..TRIES {
        let found = bucket.get(key).await.map_err(|error| refusal::of_broker(&error))?;
        let (known, revision) = found.unzip();
        let known = known.and_then(|bytes: Bytes| serde_json::from_slice::<Target>(&bytes).ok());
        let mut target = known.unwrap_or_else(|| fresh.clone());
        if target.disabled_at.is_some() {
            return Ok(target);
        }
        target.disabled_at = Some(app.broker().now());
        target.why = BY_OPERATOR.to_owned();
        let bytes = serde_json::to_vec(&target).map_err(|error| {
            Error::new(ErrorCode::Internal, format!("a target cannot be written: {error}"))
        })?;
        let written = match revision {
            Some(revision) => bucket.update(key, bytes.into(), revision).await,
            None => bucket.create(key, bytes.into()).await,
        };
        match written {
            Ok(_) => return Ok(target),
            Err(error) if matches!(error.kind(), ErrorKind::WrongRevision | ErrorKind::Exists) => {}
            Err(error) => return Err(refusal::of_broker(&error)),
        }
    }
    Err(Error::new(ErrorCode::Conflict, "the target is changed by others all the time: try again"))
}

async fn open(app: &Shared) -> Result<Box<dyn Bucket>, Error> {
    let bucket = app.broker().bucket(&app.parts.topology.targets()).await;
    bucket.map_err(|error| refusal::of_broker(&error))
}
