//! `POST /v1/messages`.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use schemas::{Action, Error, Request};

use super::{events::Events, payload::Chat, refusal::of_body, version::Version, wire::Message};
use crate::{
    answer,
    app::App,
    chat_stream::{ChatStream, Who},
    door::{self, Entry},
    openai,
    refusal::Refusal,
    submit::Accepted,
};

const DOOR: &str = "messages";

/// Answers with one message, or with SSE events if the body says `stream: true`.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let version = Version::of(&headers)?;
    let (body, share) = door::read_json(&app, &headers, body).await?;
    let Chat { payload, shows_thinking } = Chat::read(body, version)?;
    let mut request = Request::new(Action::ChatCompletion, payload);
    request.id = door::idempotency_key(&headers)?;
    openai::is_waited_for(&app, &mut request);
    let handed_in = openai::hand_in(&app, DOOR, &entry, request, share).await;
    let (accepted, request) = handed_in.map_err(|Refusal(error)| of_body(error))?;
    Ok(match request.wants_stream() {
        true => streamed(&app, accepted, &request, shows_thinking).await?,
        false => plain(&app, accepted, &request, shows_thinking).await,
    })
}

async fn plain(app: &App, mut accepted: Accepted, request: &Request, shows_thinking: bool) -> Response {
    let ended = answer::of_chat(&mut accepted.feed, app.give_up_at(request.deadline_ms)).await;
    let (id, model) = (message_id(&accepted), request.model().unwrap_or_default());
    let message = ended.and_then(|(output, usage)| {
        Ok(Json(Message::of(&id, model, &output, &usage, shows_thinking)?).into_response())
    });
    answer::tell(accepted, message, of_body)
}

async fn streamed(
    app: &App,
    accepted: Accepted,
    request: &Request,
    shows_thinking: bool,
) -> Result<Response, Error> {
    let (message, model) = (message_id(&accepted), request.model().unwrap_or_default());
    let events = Events::new(accepted.id.as_str(), &message, model, shows_thinking)?;
    let Accepted { id, feed, account, .. } = accepted;
    let (who, give_up_at) = (Who::Sender(Box::new(account)), app.give_up_at(request.deadline_ms));
    let stream = ChatStream::new(app, feed, who, events, Some(give_up_at));
    Ok(answer::named(id, stream.answer(of_body).await))
}

fn message_id(accepted: &Accepted) -> String {
    format!("msg_{}", accepted.id)
}
