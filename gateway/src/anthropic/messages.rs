//! `POST /v1/messages`.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use schemas::{Action, Error, Priority, Request};

use super::{events::Events, payload::Chat, refusal::of_body, version::Version, wire::Message};
use crate::{
    app::App,
    chat_stream::{self, ChatStream},
    door::{self, Entry, Named},
    ending,
    openai::{self, named},
    refusal::{self, Refusal},
    sse,
    submit::Accepted,
};

const DOOR: &str = "messages";

/// One message, or its pieces as SSE where the body says `stream: true`.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let version = Version::of(&headers)?;
    let (body, share) = door::read_body(&app, body).await?;
    let Chat { payload, shows_thinking } = Chat::read(&body, version)?;
    let mut request = Request::new(Action::ChatCompletion, payload);
    request.id = door::idempotency_key(&headers)?;
    request.deadline_ms = Some(app.config.default_deadline_ms);
    // Somebody waits for it.
    request.priority = Priority::Interactive;
    let handed_in = openai::hand_in(&app, DOOR, &entry, request, share).await;
    let (accepted, request) = handed_in.map_err(|Refusal(error)| of_body(error))?;
    Ok(match request.wants_stream() {
        true => streamed(&app, accepted, &request, shows_thinking).await?,
        false => plain(&app, accepted, &request, shows_thinking).await,
    })
}

async fn plain(app: &App, mut accepted: Accepted, request: &Request, shows_thinking: bool) -> Response {
    let ended = ending::wait(&mut accepted.feed, app.give_up_at(request.deadline_ms)).await;
    let ended =
        ended.and_then(|done| chat_stream::chat_output(done.output).map(|output| (output, done.usage)));
    let (output, usage) = match ended {
        Ok(ended) => ended,
        Err(error) => return failed(&mut accepted, error),
    };
    let (id, model) = (message_id(&accepted), request.model().unwrap_or_default());
    match Message::of(&id, model, &output, &usage, shows_thinking) {
        Ok(message) => {
            let response = Json(message).into_response();
            accepted.account.end(None);
            named(&accepted, response)
        }
        Err(error) => failed(&mut accepted, error),
    }
}

async fn streamed(
    app: &App,
    accepted: Accepted,
    request: &Request,
    shows_thinking: bool,
) -> Result<Response, Error> {
    let (id, model) = (message_id(&accepted), request.model().unwrap_or_default());
    let events = Events::new(accepted.id.as_str(), &id, model, shows_thinking)?;
    let mut stream = ChatStream::new(app, accepted, events, app.give_up_at(request.deadline_ms));
    if let Err(error) = stream.begin().await {
        return Ok(failed(stream.accepted(), error));
    }
    let id = stream.accepted().id.clone();
    let mut response = sse::response(stream.events());
    response.extensions_mut().insert(Named(id));
    Ok(response)
}

/// The answer to an accepted request that failed.
fn failed(accepted: &mut Accepted, error: Error) -> Response {
    accepted.account.end(Some(&error));
    named(accepted, refusal::response(&of_body(error)))
}

fn message_id(accepted: &Accepted) -> String {
    format!("msg_{}", accepted.id)
}
