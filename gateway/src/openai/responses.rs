//! `/v1/responses`: a chat in the form of the Responses API. Every response is a durable request like any other, so a
//! background response needs no mechanism of its own.

pub(crate) mod count;
mod create;
mod events;
mod input;
pub(crate) mod input_items;
mod items;
mod kept;
mod object;

use std::time::Duration;

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use schemas::{Error, Format, fingerprint};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::is_waited_for;
use crate::{
    answer,
    app::App,
    cancel::{self, Asked as Told},
    chat_stream::{ChatStream, Who},
    door::{self, Entry, Path, Query},
    ending,
    feed::Feed,
    record::{self, Key, Record},
    refusal::Refusal,
    submit::{Accepted, Visit, submit},
};
use create::{Asked, Create};
use events::Events;
use items::{IN_PROGRESS, Item};
pub(crate) use kept::Kept;
use kept::Question;
use object::Object;

const DOOR: &str = "responses";
/// The status of a response whose request waits.
const QUEUED: &str = "queued";
/// How long a cancelling client waits to hear that the response has ended: running work stops within a moment.
const CANCEL_WAIT: Duration = Duration::from_secs(5);

/// `POST /v1/responses`.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (body, mut share) = door::read_json(&app, &headers, body).await?;
    let create = Create::parse(body)?;
    let before = match &create.previous_response_id {
        Some(id) => kept::conversation(&app, &entry.caller, id, &mut share).await?,
        None => Vec::new(),
    };
    let Asked { mut request, echo, streamed, messages } = create.into_asked(before)?;
    request.id = door::idempotency_key(&headers)?;
    if !echo.background {
        is_waited_for(&app, &mut request);
    }
    let fingerprint = fingerprint::of(&request);
    let give_up_at = (!echo.background).then(|| app.give_up_at(request.deadline_ms));
    let (is_chat, tells_id) = (!echo.background, echo.background || streamed);
    let visit = Visit { door: DOOR, entry: &entry, format: Format::MessagePack, share, is_chat, tells_id };
    let accepted = submit(&app, visit, &mut request).await.map_err(create::relative)?;
    // The broker has it, and the client may wait long.
    drop(request);
    let created_at = app.parts.seams.clock.now().as_second();
    let mut question = Question { created_at, fingerprint, echo, messages };
    let key = Key::new(&app, &accepted.caller, accepted.id.clone());
    keep(&app, &key, accepted.fresh, &mut question).await?;
    Ok(match (streamed, give_up_at) {
        (true, give_up_at) => self::streamed(&app, accepted, question, give_up_at).await,
        (false, Some(give_up_at)) => plain(accepted, &question, give_up_at).await,
        (false, None) => in_background(accepted, &question),
    })
}

/// Keeps the question. If that fails, the response says `store: false`; a background response would be lost, so its
/// request is cancelled instead.
async fn keep(app: &App, key: &Key, is_new: bool, question: &mut Question) -> Result<(), Error> {
    if !question.echo.store {
        return Ok(());
    }
    let kept = kept::keep(app, key, is_new, question).await;
    app.responses.note(&kept);
    let Err(error) = kept else { return Ok(()) };
    if question.echo.background {
        cancel::store(app, key).await?;
        return Err(error);
    }
    question.echo.store = false;
    Ok(())
}

async fn plain(mut accepted: Accepted, question: &Question, give_up_at: Instant) -> Response {
    let ended = answer::of_chat(&mut accepted.feed, give_up_at).await;
    let response = ended.map(|(output, usage)| {
        let items = Item::all_of(accepted.id.as_str(), &output);
        let begun = Object::begun(&accepted.id, question.created_at, &question.echo, IN_PROGRESS);
        Json(begun.answered(&output, &items, &usage)).into_response()
    });
    answer::tell(accepted, response, create::relative)
}

fn in_background(accepted: Accepted, question: &Question) -> Response {
    let Accepted { id, account, .. } = accepted;
    let object = Object::begun(&id, question.created_at, &question.echo, QUEUED);
    let response = Json(object).into_response();
    account.release();
    answer::named(id, response)
}

async fn streamed(
    app: &App,
    accepted: Accepted,
    question: Question,
    give_up_at: Option<Instant>,
) -> Response {
    let Accepted { id, feed, account, .. } = accepted;
    let events = Events::new(id.clone(), question.created_at, question.echo);
    let stream = numbered(app, feed, Who::Sender(Box::new(account)), events, give_up_at);
    let response = match give_up_at {
        Some(_) => stream.answer(create::relative).await,
        None => stream.answer_at_once(),
    };
    answer::named(id, response)
}

/// How to return a response.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Wanted {
    /// Whether to return events, from the first.
    stream: Option<bool>,
    /// The number of the last event that the client has seen.
    starting_after: Option<u64>,
}

/// `GET /v1/responses/{id}`: its current state, or its events.
pub(crate) async fn get(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let Wanted { stream, starting_after } = wanted;
    let mut share = app.room.share();
    let (key, question, record) = kept::find(&app, &entry.caller, &id, &mut share).await?;
    let response = match stream {
        Some(true) => replayed(&app, &key, question, starting_after),
        _ if starting_after.is_some() => {
            return Err(Error::invalid(
                "starting_after",
                "is only for a stream of events: set `stream=true`",
            )
            .into());
        }
        _ => {
            if !matches!(record, Record::Ended(_)) {
                app.lingers.look_in(&app, &key).await;
            }
            Json(told(&key, &question, &record)).into_response()
        }
    };
    Ok(answer::named(key.id, response))
}

/// The events from the first, or those after the number `after`.
fn replayed(app: &App, key: &Key, question: Question, after: Option<u64>) -> Response {
    let mut feed = Feed::open(app, key.clone(), None);
    feed.attach();
    let events = Events::new(key.id.clone(), question.created_at, question.echo).after(after);
    numbered(app, feed, Who::Reader(app.lingers.join(key)), events, None).response()
}

/// A stream of numbered events. Pieces stay apart: a joined one would be one number where another reader has several.
fn numbered(
    app: &App,
    mut feed: Feed,
    who: Who,
    events: Events,
    give_up_at: Option<Instant>,
) -> ChatStream<Events> {
    feed.keep_pieces();
    ChatStream::new(app, feed, who, events, give_up_at)
}

/// `POST /v1/responses/{id}/cancel`: returns the response as it is then. Any unfinished response can be cancelled, even
/// one that a client waits for.
pub(crate) async fn cancel(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let mut share = app.room.share();
    let (key, question, mut record) = kept::find(&app, &entry.caller, &id, &mut share).await?;
    if !matches!(record, Record::Ended(_)) {
        let mut feed = Feed::open(&app, key.clone(), None);
        record = match cancel::ask(&app, &key).await.map_err(|error| app.spread(error))? {
            Told::Ended(outcome) => Record::Ended(outcome),
            Told::Stored => {
                feed.attach();
                // The record says how it ended, or that this is not known yet.
                let _ = ending::wait(&mut feed, Instant::now() + CANCEL_WAIT).await;
                record::find(&app, &key).await?
            }
        };
    }
    let response = Json(told(&key, &question, &record)).into_response();
    Ok(answer::named(key.id, response))
}

/// `DELETE /v1/responses/{id}`: forgets the question, so nothing can continue from it. The request is not stopped, and
/// its outcome is kept as long as any other: that a request has only one outcome depends on it.
pub(crate) async fn delete(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let key = kept::key(&app, &entry.caller, &id)?;
    match kept::forget(&app, &key).await? {
        true => Ok(Json(json!({ "id": id, "object": "response", "deleted": true }))),
        false => Err(kept::unknown(&id).into()),
    }
}

fn told<'a>(key: &Key, question: &'a Question, record: &Record) -> Object<'a> {
    let object = |status| Object::begun(&key.id, question.created_at, &question.echo, status);
    match record {
        Record::Ended(outcome) => object(IN_PROGRESS).ended(&key.id, outcome),
        Record::Running => object(IN_PROGRESS),
        Record::Queued | Record::Unknown => object(QUEUED),
    }
}
