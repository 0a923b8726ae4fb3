//! `/v1/keys`: makes, lists, revokes and rotates API keys. Only the answer that makes a key shows it.
//!
//! A caller gives away no more than it has: no higher role, no other tenant, no wider scope.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use schemas::{
    Action, ApiKey, CallerLimits, Error, ErrorCode, Format, KeyBudget, KeyId, KeyMode, KeyRecord, Role,
    Tenant, key,
};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::{Keys, Reach};
use crate::{
    app::{App, Shared},
    caller::Caller,
    door::{self, Entry, Path},
    quota::{NO_LIMIT, zero},
    refusal::Refusal,
};

/// The longest name of a key, in characters.
const NAME_CHARS_MAX: usize = 128;
/// The most actions, and the most models, that a key names.
const SCOPES_MAX: usize = 64;
/// The longest model pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 256;
/// How long a rotated key stays valid by default: a day, in milliseconds.
const GRACE_MS: u64 = 24 * 60 * 60 * 1_000;
/// The longest life that a key may be given: ten years, in milliseconds.
const LIFE_MS_MAX: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;

/// A key to make.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "NewKey")]
pub(crate) struct Wish {
    /// The tenant that it belongs to; by default that of the caller.
    tenant: Option<Tenant>,
    /// Its name, for people.
    name: String,
    /// What it may do; by default `user`, and `superadmin` for the first key.
    role: Option<Role>,
    /// Whether it reaches real providers (`live`) or simulated ones only (`test`).
    mode: Option<KeyMode>,
    /// The actions that it may ask for; all if none is named.
    actions: Vec<Action>,
    /// The models that it may ask for, as patterns in which `*` stands for any characters; all if none is named.
    models: Vec<String>,
    /// The most requests in any minute at one gateway.
    requests_per_minute: Option<u32>,
    /// The most tokens in any minute at one gateway.
    tokens_per_minute: Option<u32>,
    /// The most requests at once at one gateway.
    concurrency: Option<u32>,
    /// The most US dollars in a period, over all engines.
    budget: Option<KeyBudget>,
    /// How long it is valid, in milliseconds; for ever by default.
    expires_in_ms: Option<u64>,
}

/// How a key is rotated.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "KeyRotation")]
pub(crate) struct Rotation {
    /// How long the old key stays valid, in milliseconds; a day by default.
    grace_ms: Option<u64>,
}

/// The record of a key, and the key itself if it was just made.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Key")]
pub(crate) struct Shown {
    /// The type of this object.
    #[schemars(extend("const" = "key"))]
    object: &'static str,
    /// The key itself, only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(flatten)]
    record: KeyRecord,
}

/// Keys, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "KeyList")]
pub(crate) struct List {
    /// The type of this object.
    #[schemars(extend("const" = "list"))]
    object: &'static str,
    /// The record of each key.
    data: Vec<Shown>,
}

impl Shown {
    const fn of(record: KeyRecord) -> Self {
        Self { object: "key", key: None, record }
    }
}

/// `GET /v1/keys`.
pub(crate) async fn list(State(app): State<App>, Extension(entry): Extension<Entry>) -> Json<List> {
    let keys = app.keys.list().into_iter().filter(|key| is_seen(&entry.caller, key));
    Json(List { object: "list", data: keys.map(Shown::of).collect() })
}

/// `GET /v1/keys/{id}`.
pub(crate) async fn show(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Refusal> {
    Ok(Json(Shown::of(find(&app.keys, &entry.caller, &id)?)))
}

/// `POST /v1/keys` → 201, with the key.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let wish: Wish = read(&app, &headers, body).await?;
    let record = wish.record(&app, &entry.caller)?;
    make(&app, record).await
}

/// `DELETE /v1/keys/{id}`: revokes a key, here at once and everywhere in a moment.
pub(crate) async fn revoke(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Refusal> {
    let record = find(&app.keys, &entry.caller, &id)?;
    let now = app.broker().now();
    let revoked = change(&app.keys, &record, move |key| _ = key.revoked_at.get_or_insert(now)).await?;
    info!(id = %revoked.id, tenant = %revoked.tenant, "API key revoked");
    Ok(Json(Shown::of(revoked)))
}

/// `POST /v1/keys/{id}/rotate` → 201, with a key that replaces it; the old one stays valid for a while.
pub(crate) async fn rotate(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let Rotation { grace_ms } = read(&app, &headers, body).await?;
    let old = find(&app.keys, &entry.caller, &id)?;
    let now = app.broker().now();
    if app.keys.is_configured(&old.id) {
        return Err(configured(&old.id).into());
    }
    if !old.is_good(now) {
        let why = format!("the key `{}` was revoked or has expired: create a new one", old.id);
        return Err(Error::new(ErrorCode::Conflict, why).into());
    }
    let end = later(now, "grace_ms", grace_ms.unwrap_or(GRACE_MS))?;
    // The caller is shown the new key, and must not gain by it.
    entry.caller.key().map_or(Ok(()), |own| within(own, &old))?;
    let fresh = KeyRecord { created_at: Some(now), last_used_at: None, ..old.clone() };
    // The new one first: a failure in between leaves two keys.
    let made = make(&app, fresh).await?;
    let sooner =
        move |key: &mut KeyRecord| key.expires_at = Some(key.expires_at.map_or(end, |at| at.min(end)));
    change(&app.keys, &old, sooner).await?;
    info!(id = %old.id, tenant = %old.tenant, until = %end, "API key rotated");
    Ok(made)
}

impl Wish {
    /// The record of the key that `caller` wishes for, except for its id.
    fn record(self, app: &Shared, caller: &Caller) -> Result<KeyRecord, Error> {
        let (own, is_first) = (caller.key(), app.keys.is_open());
        if is_first && app.keys.reach == Reach::Network {
            let why = "other machines can reach this server, so it does not create the first key: create that one \
                       while the server listens on 127.0.0.1, or put it into the configuration (`dynode key create \
                       --offline`)";
            return Err(Error::new(ErrorCode::Forbidden, why));
        }
        let role = self.role.unwrap_or(if is_first { Role::Superadmin } else { Role::User });
        if is_first && role != Role::Superadmin {
            let why = "the first key must be a superadmin's, or nobody could create the next; create that one first, \
                       then this one";
            return Err(Error::invalid("role", why));
        }
        caller.must_be(role)?;
        let tenant = self.tenant.unwrap_or_else(|| caller.tenant.clone());
        if tenant != caller.tenant {
            caller.must_be(Role::Superadmin)?;
        }
        let mode = self.mode.unwrap_or_else(|| own.map_or(KeyMode::Live, |own| own.mode));
        check(&self.name, &self.actions, &self.models)?;
        let limits = CallerLimits {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            concurrency: self.concurrency,
        };
        if let Some(field) = zero(&limits) {
            return Err(Error::invalid(field, NO_LIMIT));
        }
        if self.budget.is_some_and(|budget| !budget.is_sound()) {
            return Err(Error::invalid("budget.usd", "expected an amount of US dollars, more than 0"));
        }
        let now = app.broker().now();
        let expires_at = self.expires_in_ms.map(|ms| later(now, "expires_in_ms", ms)).transpose()?;
        let record = KeyRecord {
            // `make` replaces it with the id of the key that it creates.
            id: KeyId::new("new").map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))?,
            mode,
            tenant,
            name: self.name,
            role,
            actions: self.actions,
            models: self.models,
            limits,
            budget: self.budget,
            created_at: Some(now),
            expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        own.map_or(Ok(()), |own| within(own, &record))?;
        Ok(record)
    }
}

fn check(name: &str, actions: &[Action], models: &[String]) -> Result<(), Error> {
    if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(Error::invalid(
            "name",
            format!("expected at most {NAME_CHARS_MAX} characters on a line"),
        ));
    }
    if actions.len() > SCOPES_MAX {
        return Err(Error::invalid("actions", format!("at most {SCOPES_MAX} may be named")));
    }
    if models.len() > SCOPES_MAX || models.iter().any(|model| model.len() > PATTERN_BYTES_MAX) {
        let why = format!("at most {SCOPES_MAX} may be named, of {PATTERN_BYTES_MAX} bytes each");
        return Err(Error::invalid("models", why));
    }
    Ok(())
}

/// Refuses a key that would reach further than the key that makes it.
fn within(own: &KeyRecord, new: &KeyRecord) -> Result<(), Error> {
    let wider = |param: &str| {
        let why = format!("{param}: the new key would reach further than the key `{}`", own.id);
        Err(Error { param: Some(param.to_owned()), ..Error::new(ErrorCode::Forbidden, why) })
    };
    if own.mode == KeyMode::Test && new.mode != KeyMode::Test {
        return wider("mode");
    }
    let has_actions = new.actions.iter().all(|action| own.allows_action(*action));
    if !own.actions.is_empty() && (new.actions.is_empty() || !has_actions) {
        return wider("actions");
    }
    // A new pattern is matched like a name, its stars included.
    let has_models = new.models.iter().all(|new| own.models.iter().any(|own| key::matches(own, new)));
    if !own.models.is_empty() && (new.models.is_empty() || !has_models) {
        return wider("models");
    }
    Ok(())
}

/// Makes a key of `record`, and shows it once.
async fn make(app: &Shared, record: KeyRecord) -> Result<Response, Refusal> {
    let key = ApiKey::make(record.mode, || app.parts.seams.random.next_u64());
    let record = KeyRecord { id: key.id().clone(), ..record };
    app.keys.add(&key, record.clone()).await?;
    info!(id = %record.id, tenant = %record.tenant, role = %record.role, "API key made");
    let shown = Shown { key: Some(key.expose().to_owned()), ..Shown::of(record) };
    let mut response = (StatusCode::CREATED, Json(shown)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn change(
    keys: &Keys,
    record: &KeyRecord,
    change: impl Fn(&mut KeyRecord) + Send + Sync,
) -> Result<KeyRecord, Error> {
    if keys.is_configured(&record.id) {
        return Err(configured(&record.id));
    }
    keys.change(&record.id, change).await?.ok_or_else(|| missing(record.id.as_str()))
}

/// The key `id`, if the caller may see it. Another tenant's key is reported as missing.
fn find(keys: &Keys, caller: &Caller, id: &str) -> Result<KeyRecord, Error> {
    let record = KeyId::new(id).ok().and_then(|id| keys.find(&id));
    record.filter(|key| is_seen(caller, key)).ok_or_else(|| missing(id))
}

/// A caller that may not make such a key may not manage it either.
fn is_seen(caller: &Caller, key: &KeyRecord) -> bool {
    caller.sees().is_none_or(|tenant| *tenant == key.tenant) && caller.must_be(key.role).is_ok()
}

fn missing(id: &str) -> Error {
    let shown: String = id.chars().take(64).collect();
    Error::new(
        ErrorCode::NotFound,
        format!("there is no API key `{}` that you may manage", shown.escape_debug()),
    )
}

fn configured(id: &KeyId) -> Error {
    let why = format!("the key `{id}` stands in the configuration ([[keys]]): change it there");
    Error::new(ErrorCode::Conflict, why)
}

fn later(now: Timestamp, param: &'static str, milliseconds: u64) -> Result<Timestamp, Error> {
    let span = i64::try_from(milliseconds).ok().filter(|_| milliseconds <= LIFE_MS_MAX);
    let end = span.and_then(|ms| now.checked_add(SignedDuration::from_millis(ms)).ok());
    end.ok_or_else(|| Error::invalid(param, format!("expected at most {LIFE_MS_MAX} milliseconds")))
}

/// Reads a JSON body, or none. It must have the `Content-Type` of JSON, so that a page of another origin cannot send it
/// without a preflight.
async fn read<T: Default + for<'de> Deserialize<'de>>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Error> {
    let (body, _share) = door::read_body(app, body).await?;
    let kind = door::text(headers, header::CONTENT_TYPE.as_str());
    if kind.as_deref().and_then(Format::from_content_type) != Some(Format::Json) {
        return Err(door::unsupported("Content-Type", "expected application/json"));
    }
    if body.is_empty() {
        return Ok(T::default());
    }
    schemas::codec::from_value(Format::Json.decode(&body)?, "")
}
