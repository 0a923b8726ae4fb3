//! `POST /v1/chat/completions`.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use schemas::{Action, Request};
use serde_json::Value;

use super::{
    accept,
    chunks::Chunks,
    failed, named,
    wire::{Choice, Completion, TokenUsage},
};
use crate::{
    app::App,
    chat_stream::{self, ChatStream},
    door::Entry,
    ending,
    refusal::Refusal,
    sse,
    submit::Accepted,
};

const DOOR: &str = "chat";

/// One answer, or its pieces as SSE where the body says `stream: true`. The `Accept` header says nothing: the SDKs send
/// `application/json` with both.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (accepted, request) = accept(&app, DOOR, Action::ChatCompletion, &entry, &headers, body).await?;
    Ok(match request.wants_stream() {
        true => streamed(&app, accepted, &request).await,
        false => plain(&app, accepted, &request).await,
    })
}

async fn plain(app: &App, mut accepted: Accepted, request: &Request) -> Response {
    let ended = ending::wait(&mut accepted.feed, app.give_up_at(request.deadline_ms)).await;
    let ended =
        ended.and_then(|done| chat_stream::chat_output(done.output).map(|output| (output, done.usage)));
    let (output, usage) = match ended {
        Ok(ended) => ended,
        Err(error) => return failed(&mut accepted, error),
    };
    let completion = Completion {
        id: &completion_id(&accepted),
        object: "chat.completion",
        created: app.parts.seams.clock.now().as_second(),
        model: request.model().unwrap_or_default(),
        choices: output.choices().enumerate().map(Choice::of).collect(),
        usage: TokenUsage::from(&usage),
    };
    let response = Json(completion).into_response();
    accepted.account.end(None);
    named(&accepted, response)
}

async fn streamed(app: &App, accepted: Accepted, request: &Request) -> Response {
    let created = app.parts.seams.clock.now().as_second();
    let include_usage = request.payload.pointer("/stream_options/include_usage").and_then(Value::as_bool);
    let model = request.model().unwrap_or_default().to_owned();
    let chunks = Chunks::new(completion_id(&accepted), created, model, include_usage.unwrap_or(false));
    let mut stream = ChatStream::new(app, accepted, chunks, app.give_up_at(request.deadline_ms));
    if let Err(error) = stream.begin().await {
        return failed(stream.accepted(), error);
    }
    let id = stream.accepted().id.clone();
    let mut response = sse::response(stream.events());
    response.extensions_mut().insert(crate::door::Named(id));
    response
}

fn completion_id(accepted: &Accepted) -> String {
    format!("chatcmpl-{}", accepted.id)
}
