//! `POST /v1/messages/count_tokens`: by the same rule of thumb as `/v1/estimate`, and the answer says so. Nothing of it is
//! published.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use schemas::{Action, Error, Request};
use serde::Serialize;
use serde_json::{Value, json};

use super::{payload::Chat, refusal::of_body, version::Version};
use crate::{
    app::App,
    door::{self, Entry},
    refusal::Refusal,
};

/// Says that nobody has counted.
const ESTIMATED: HeaderName = HeaderName::from_static("x-dynode-estimated");

#[derive(Serialize)]
struct Count {
    input_tokens: u64,
}

/// About how many tokens the question has.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let version = Version::of(&headers)?;
    let (body, _share) = door::read_body(&app, body).await?;
    let mut payload = Chat::read_to_count(&body, version)?.payload;
    drop(body);
    tell_all(&mut payload)?;
    let request = Request::new(Action::ChatCompletion, payload);
    let estimate = (app.parts.estimate)(&entry.caller.tenant, request).map_err(of_body)?;
    let mut response = Json(Count { input_tokens: estimate.input_tokens }).into_response();
    response.headers_mut().insert(ESTIMATED, HeaderValue::from_static("true"));
    Ok(response)
}

/// The rule of thumb is about the texts of messages: what the model reads besides becomes one. Nobody can tell what an
/// image or a document comes to.
fn tell_all(payload: &mut Value) -> Result<(), Error> {
    let mut besides = String::new();
    if let Some(tools) = payload.get("tools") {
        besides.push_str(&tools.to_string());
    }
    let messages = payload.get("messages").and_then(Value::as_array).into_iter().flatten();
    for message in messages {
        let parts = message.get("content").and_then(Value::as_array).into_iter().flatten();
        if parts.into_iter().any(|part| part["type"] != "text") {
            let why =
                "images and documents are not counted here: what they come to is known only to their model";
            return Err(Error::invalid("messages", why));
        }
        if let Some(calls) = message.get("tool_calls") {
            besides.push_str(&calls.to_string());
        }
    }
    if let (false, Some(Value::Array(messages))) = (besides.is_empty(), payload.get_mut("messages")) {
        messages.push(json!({"role": "system", "content": besides}));
    }
    Ok(())
}
