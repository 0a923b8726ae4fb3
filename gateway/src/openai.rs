//! The OpenAI API: an OpenAI SDK needs only another base URL.

pub(crate) mod chat;
mod chunks;
pub(crate) mod embeddings;
pub(crate) mod images;
pub(crate) mod models;
pub(crate) mod responses;
pub(crate) mod speech;
pub(crate) mod wire;

use std::collections::BTreeMap;

use axum::{body::Body, http::HeaderMap};
use schemas::{Action, Error, Format, Output, Priority, Request, Usage};
use serde_json::Value;

use crate::{
    account::Door,
    app::App,
    assets::{self, Found},
    door::{self, Entry},
    ending, record,
    refusal::{self, Refusal},
    room::Share,
    submit::{Accepted, Visit, submit},
};

/// Reads a body as the payload of `action` and submits it.
async fn accept(
    app: &App,
    door: Door,
    action: Action,
    entry: &Entry,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Accepted, Request), Refusal> {
    let (request, share) = read(app, action, headers, body).await?;
    hand_in(app, door, entry, request, share).await
}

/// Reads a body as the payload of `action`.
async fn read(
    app: &App,
    action: Action,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Request, Share), Refusal> {
    let (payload, share) = door::read_json(app, headers, body).await?;
    let mut request = Request::new(action, payload);
    request.id = door::idempotency_key(headers)?;
    request.metadata = metadata(&request.payload)?;
    is_waited_for(app, &mut request);
    Ok((request, share))
}

/// Gives a request whose client waits at the door a deadline, and priority over requests that nobody waits for.
pub(crate) fn is_waited_for(app: &App, request: &mut Request) {
    request.deadline_ms = Some(app.config.default_deadline_ms);
    request.priority = Priority::Interactive;
}

/// The sender's metadata, which this API carries in the body; the request takes it over.
fn metadata(payload: &Value) -> Result<BTreeMap<String, String>, Error> {
    let notes = payload.get("metadata").unwrap_or(&Value::Null);
    let notes: Option<BTreeMap<String, String>> = schemas::codec::view(notes, "metadata")?;
    Ok(notes.unwrap_or_default())
}

/// Submits a request whose client waits for the answer.
pub(crate) async fn hand_in(
    app: &App,
    door: Door,
    entry: &Entry,
    mut request: Request,
    share: Share,
) -> Result<(Accepted, Request), Refusal> {
    let tells_id = request.wants_stream();
    let visit = Visit { door, entry, format: Format::MessagePack, share, is_chat: true, tells_id };
    let accepted = submit(app, visit, &mut request).await;
    Ok((accepted.map_err(refusal::relative_to_body)?, request))
}

/// Waits for the files that an accepted request makes, and its usage.
async fn made(app: &App, accepted: &mut Accepted, request: &Request) -> Result<(Vec<Found>, Usage), Error> {
    let done = ending::wait(&mut accepted.feed, app.give_up_at(request.deadline_ms)).await?;
    let Output::Media(media) = done.output else {
        // The id belongs to a request with the same payload but a different action.
        return Err(record::conflict(&accepted.id));
    };
    let mut found = Vec::with_capacity(media.assets.len());
    for asset in &media.assets {
        found.push(assets::of_tenant(app, &asset.id, &accepted.caller.tenant).await?);
    }
    Ok((found, done.usage))
}
