//! `/v1/estimate`: estimates what a request would cost, and how many tokens a prompt has for doors that report only
//! that. Publishes nothing.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
};
use schemas::{Action, Error, Estimate, Request};
use serde_json::{Value, json};

use crate::{
    app::{App, Shared},
    caller::Caller,
    door::{self, Entry},
    native,
    refusal::Refusal,
    submit,
};

/// Marks a count as an estimate.
const ESTIMATED: HeaderName = HeaderName::from_static("x-dynode-estimated");

/// `POST /v1/estimate`.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Estimate>, Refusal> {
    let (body, _share) = door::read_body(&app, body).await?;
    let format = door::body_format(&headers, &body)?;
    let request: Request = native::parse(format.decode(&body)?)?;
    Ok(Json(of(&app, &entry.caller, request)?))
}

/// What `request` of this caller would cost.
pub(crate) fn of(app: &Shared, caller: &Caller, mut request: Request) -> Result<Estimate, Error> {
    submit::check_tenant(caller, &request)?;
    caller.check_scope(&request)?;
    request.sent_by = caller.sent_by();
    (app.parts.estimate)(&caller.tenant, request)
}

/// About how many tokens the prompt of a chat has, including its tools and their calls.
pub(crate) fn tokens_of(app: &Shared, caller: &Caller, mut payload: Value) -> Result<u64, Error> {
    tell_all(&mut payload)?;
    Ok(of(app, caller, Request::new(Action::ChatCompletion, payload))?.input_tokens)
}

/// The response, marked as an estimate.
pub(crate) fn marked(mut response: Response) -> Response {
    response.headers_mut().insert(ESTIMATED, HeaderValue::from_static("true"));
    response
}

/// The rule of thumb counts the texts of messages, so this turns tools and calls into one more text. It refuses images
/// and documents, whose tokens it cannot estimate.
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
                "images and documents are not counted here: only the model knows how many tokens they take";
            return Err(Error::invalid("payload.messages", why));
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
