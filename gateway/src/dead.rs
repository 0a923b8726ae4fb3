//! `/v1/dead`: shows parked messages and why they were parked, and replays or drops them. A letter goes only after its
//! replay is stored, and no replay changes an outcome: the first stands.

mod letter;
mod replay;

use axum::{Extension, Json, extract::State};
use futures_util::{StreamExt, future::try_join};
use schemars::JsonSchema;
use schemas::{Error, ErrorCode, RequestId, Role, Tenant};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::{
    app::{App, Shared},
    caller::Caller,
    door::{Entry, Path, Query},
    record::{self, Key},
    refusal::{self, Refusal},
};
use letter::Letter;
pub(crate) use letter::{Summary, Whole};
use replay::Replay;

/// The tenant of letters whose sender could not be read.
const UNKNOWN: &str = "unknown";
/// Stands for all tenants in a pattern.
const EVERY: &str = "*";
/// How many letters a page has by default.
const PAGE_LETTERS: usize = 100;
/// The most letters on a page: some 500 KB.
const PAGE_LETTERS_MAX: usize = 1_000;

/// Which letters to list.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Filter {
    /// Only letters of this stage: `classifier`, `delivery`, or the name of a provider.
    stage: Option<String>,
    /// How many letters at most; 100 by default, 1000 at most.
    limit: Option<usize>,
    /// Only letters after this sequence: `next` of the page before.
    after: Option<u64>,
}

/// How to run a letter again.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct How {
    /// Run it under a new id, whatever became of the old one.
    #[serde(default)]
    new_id: bool,
}

/// Letters, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterPage")]
pub(crate) struct Page {
    /// The letters.
    letters: Vec<Summary>,
    /// The `after` of the next page, if there is one.
    next: Option<u64>,
}

/// A letter that was replayed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReplayedLetter")]
pub(crate) struct Replayed {
    /// The sequence of the letter.
    sequence: u64,
    /// The subject to which the replay was published.
    subject: String,
    /// The id under which its request runs, if it has one.
    id: Option<String>,
    /// Whether that id is new.
    fresh: bool,
    /// Whether the letter is gone; if not, another replay changes nothing.
    removed: bool,
}

/// A letter that was dropped.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DroppedLetter")]
pub(crate) struct Dropped {
    /// The sequence of the letter.
    sequence: u64,
}

/// `GET /v1/dead`.
pub(crate) async fn list(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Query(Filter { stage, limit, after }): Query<Filter>,
) -> Result<Json<Page>, Refusal> {
    if let Some(stage) = &stage {
        // A wildcard would match other stages.
        Tenant::new(stage)
            .map_err(|_| Error::invalid("stage", format!("`{stage}` is no name of a stage")))?;
    }
    let limit = limit.unwrap_or(PAGE_LETTERS).clamp(1, PAGE_LETTERS_MAX);
    let from = after.map_or(0, |after| after.saturating_add(1));
    let caller = &entry.caller;
    let own = caller.sees().map_or(EVERY, Tenant::as_str);
    let own = summaries(&app, stage.as_deref(), own, from, limit);
    let mut letters = match sees_unknown(caller) {
        false => own.await?,
        true => {
            let unknown = summaries(&app, stage.as_deref(), UNKNOWN, from, limit);
            let (mut own, unknown) = try_join(own, unknown).await?;
            own.extend(unknown);
            own
        }
    };
    letters.sort_unstable_by_key(|letter| letter.sequence);
    letters.dedup_by_key(|letter| letter.sequence);
    let more = letters.len() > limit;
    letters.truncate(limit);
    let next = letters.last().filter(|_| more).map(|letter| letter.sequence);
    Ok(Json(Page { letters, next }))
}

/// `GET /v1/dead/{sequence}`: all of one letter.
pub(crate) async fn show(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(sequence): Path<String>,
) -> Result<Json<Whole>, Refusal> {
    let letter = find(&app, &entry.caller, parse_sequence(&sequence)?).await?;
    Ok(Json(letter.whole()))
}

/// `POST /v1/dead/{sequence}/replay`.
pub(crate) async fn replay(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(sequence): Path<String>,
    Query(How { new_id }): Query<How>,
) -> Result<Json<Replayed>, Refusal> {
    app.check_open()?;
    let letter = find(&app, &entry.caller, parse_sequence(&sequence)?).await?;
    let fresh = new_id || letter.needs_new_id() || has_ended(&app, &entry.caller, &letter).await?;
    let Replay { publication, id, fresh } = replay::of(&letter, &app.parts.topology.subjects, fresh)?;
    let (sequence, subject) = (letter.sequence, publication.message.subject.clone());
    app.broker().publish(publication).await.map_err(|error| refusal::of_broker(&error))?;
    let removed = match app.broker().remove(&app.parts.topology.dead, sequence).await {
        Err(error) if error.kind() != broker::ErrorKind::NotFound => {
            warn!(%error, sequence, "a letter was replayed and is still there");
            false
        }
        _ => true,
    };
    info!(sequence, stage = letter.stage, of = letter.id, id, "dead letter replayed");
    Ok(Json(Replayed { sequence, subject, id, fresh, removed }))
}

/// `DELETE /v1/dead/{sequence}`.
pub(crate) async fn remove(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(sequence): Path<String>,
) -> Result<Json<Dropped>, Refusal> {
    let letter = find(&app, &entry.caller, parse_sequence(&sequence)?).await?;
    let sequence = letter.sequence;
    let removed = app.broker().remove(&app.parts.topology.dead, sequence).await;
    removed.map_err(|error| refusal::of_broker(&error))?;
    info!(sequence, stage = letter.stage, id = letter.id, "dead letter dropped");
    Ok(Json(Dropped { sequence }))
}

/// At most `limit` + 1 of a tenant's letters, which shows whether there are more.
async fn summaries(
    app: &Shared,
    stage: Option<&str>,
    tenant: &str,
    from: u64,
    limit: usize,
) -> Result<Vec<Summary>, Error> {
    let topology = &app.parts.topology;
    let pattern = topology.subjects.dead_of(stage, tenant);
    let letters = app.broker().replay(&topology.dead, &pattern, from).await;
    let mut letters = letters.map_err(|error| refusal::of_broker(&error))?;
    let mut found = Vec::new();
    while found.len() <= limit
        && let Some(stored) = letters.next().await
    {
        let stored = stored.map_err(|error| refusal::of_broker(&error))?;
        found.extend(Letter::read(stored, &topology.subjects).map(|letter| letter.summary()));
    }
    Ok(found)
}

/// The letter at `sequence`; a letter of another tenant is reported as missing.
async fn find(app: &Shared, caller: &Caller, sequence: u64) -> Result<Letter, Error> {
    let topology = &app.parts.topology;
    let letters = app.broker().replay(&topology.dead, &topology.subjects.all("dead"), sequence).await;
    let mut letters = letters.map_err(|error| refusal::of_broker(&error))?;
    let stored = letters.next().await.transpose().map_err(|error| refusal::of_broker(&error))?;
    stored
        .filter(|stored| stored.sequence == sequence)
        .and_then(|stored| Letter::read(stored, &topology.subjects))
        .filter(|letter| is_seen(caller, letter))
        .ok_or_else(|| Error::new(ErrorCode::NotFound, format!("no parked work has the sequence {sequence}")))
}

/// Whether `caller` may see a letter.
fn is_seen(caller: &Caller, letter: &Letter) -> bool {
    match letter.tenant.as_str() {
        UNKNOWN => sees_unknown(caller),
        tenant => caller.sees().is_none_or(|own| own.as_str() == tenant),
    }
}

/// A letter of an unknown sender may be any tenant's.
fn sees_unknown(caller: &Caller) -> bool {
    caller.must_be(Role::Superadmin).is_ok()
}

/// Whether the request of a letter has an outcome: then nothing runs again under its id.
async fn has_ended(app: &Shared, caller: &Caller, letter: &Letter) -> Result<bool, Error> {
    let Ok(id) = RequestId::new(&letter.id) else { return Ok(false) };
    let tenant = Tenant::new(&letter.tenant).unwrap_or_else(|_| caller.tenant.clone());
    let outcome = record::outcome(app, &Key::of_tenant(app, tenant, id)).await;
    outcome.map(|outcome| outcome.is_some()).map_err(|error| refusal::of_broker(&error))
}

fn parse_sequence(text: &str) -> Result<u64, Error> {
    text.parse().map_err(|_| Error::invalid("sequence", format!("`{text}` is not a number")))
}
