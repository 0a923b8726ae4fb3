//! The OpenAI API: an SDK changes its base URL and nothing else.

pub(crate) mod chat;
mod chunks;
pub(crate) mod embeddings;
pub(crate) mod models;
mod stream;
mod wire;

use axum::{body::Body, http::HeaderMap, response::Response};
use schemas::{Action, Error, Format, Request};

use crate::{
    account::Door,
    app::App,
    door::{self, Entry, Named},
    refusal::{self, Refusal},
    submit::{Accepted, Visit, submit},
};

/// Takes a body over as the payload of `action`. The door waits, so the request has a deadline.
async fn accept(
    app: &App,
    door: Door,
    action: Action,
    entry: &Entry,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Accepted, Request), Refusal> {
    let (body, share) = door::read_body(app, body).await?;
    let mut request = Request::new(action, Format::Json.decode(&body)?);
    request.id = door::idempotency_key(headers)?;
    request.deadline_ms = Some(app.config.default_deadline_ms);
    // Somebody waits for it.
    request.priority = schemas::Priority::Interactive;
    let visit = Visit { door, entry, format: Format::MessagePack, share, is_chat: true };
    let accepted = submit(app, visit, request.clone()).await;
    Ok((accepted.map_err(refusal::relative_to_body)?, request))
}

/// The answer to an accepted request that failed.
fn failed(accepted: &mut Accepted, error: Error) -> Response {
    accepted.account.end(Some(&error));
    named(accepted, refusal::response(&refusal::relative_to_body(error)))
}

fn named(accepted: &Accepted, mut response: Response) -> Response {
    response.extensions_mut().insert(Named(accepted.id.clone()));
    response
}
