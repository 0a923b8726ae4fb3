//! `/v1/estimate`: what a request would cost; and how long a question is, for doors that only tell that. Nothing of it is
//! published.

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

/// Says that nobody has counted.
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

/// About how many tokens the question of a chat has, its tools and their calls included.
pub(crate) fn tokens_of(app: &Shared, caller: &Caller, mut payload: Value) -> Result<u64, Error> {
    tell_all(&mut payload)?;
    Ok(of(app, caller, Request::new(Action::ChatCompletion, payload))?.input_tokens)
}

/// An answer that says that nobody has counted.
pub(crate) fn marked(mut response: Response) -> Response {
    response.headers_mut().insert(ESTIMATED, HeaderValue::from_static("true"));
    response
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
