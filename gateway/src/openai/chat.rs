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
    wire::{Choice, Completion, TokenUsage},
};
use crate::{
    answer,
    app::App,
    chat_stream::{ChatStream, Who},
    door::Entry,
    refusal::{Refusal, relative_to_body},
    submit::Accepted,
};

const DOOR: &str = "chat";

/// Answers whole, or piece by piece as SSE if the body says `stream: true`. Ignores the `Accept` header: the SDKs send
/// `application/json` in both cases.
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
    let ended = answer::of_chat(&mut accepted.feed, app.give_up_at(request.deadline_ms)).await;
    let completion = ended.map(|(output, usage)| {
        let completion = Completion {
            id: &completion_id(&accepted),
            object: "chat.completion",
            created: app.parts.seams.clock.now().as_second(),
            model: request.model().unwrap_or_default(),
            choices: output.choices().enumerate().map(Choice::of).collect(),
            usage: TokenUsage::from(&usage),
        };
        Json(completion).into_response()
    });
    answer::tell(accepted, completion, relative_to_body)
}

async fn streamed(app: &App, accepted: Accepted, request: &Request) -> Response {
    let created = app.parts.seams.clock.now().as_second();
    let include_usage = request.payload.pointer("/stream_options/include_usage").and_then(Value::as_bool);
    let model = request.model().unwrap_or_default().to_owned();
    let chunks = Chunks::new(completion_id(&accepted), created, model, include_usage.unwrap_or(false));
    let Accepted { id, feed, account, .. } = accepted;
    let (who, give_up_at) = (Who::Sender(Box::new(account)), app.give_up_at(request.deadline_ms));
    let stream = ChatStream::new(app, feed, who, chunks, Some(give_up_at));
    answer::named(id, stream.answer(relative_to_body).await)
}

fn completion_id(accepted: &Accepted) -> String {
    format!("chatcmpl-{}", accepted.id)
}
