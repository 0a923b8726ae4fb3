//! `/v1/requests`: submit a request, read its outcome, cancel it.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemas::{Error, Format, Request, RequestId};
use serde_json::{Value, json};

use crate::{
    app::App,
    cancel::{self, Asked},
    door::{self, Entry, Named, Path},
    record::{self, Key, Record},
    refusal::Refusal,
    submit::{Visit, submit},
};

const DOOR: &str = "requests";

/// `POST /v1/requests` → 202.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (body, share) = door::read_body(&app, body).await?;
    let format = door::body_format(&headers, &body)?;
    let mut request: Request = parse(format.decode(&body)?)?;
    if let Some(key) = door::idempotency_key(&headers)?
        && *request.id.get_or_insert_with(|| key.clone()) != key
    {
        return Err(Error::invalid("Idempotency-Key", "is not the `id` of the body; send one of them").into());
    }
    let visit = Visit {
        door: DOOR,
        entry: &entry,
        format: Format::MessagePack,
        share,
        is_chat: false,
        tells_id: true,
    };
    let accepted = submit(&app, visit, &mut request).await?;
    let id = accepted.id.clone();
    accepted.account.release();
    let mut response = status(&headers, &id, "queued")?;
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/requests/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `GET /v1/requests/{id}`: the outcome, or 202 while there is none.
pub(crate) async fn get(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = parse_id(&id)?;
    let key = Key::new(&app, &entry.caller, id.clone());
    let state = match record::find(&app, &key).await? {
        Record::Ended(outcome) => return Ok(answer(&headers, StatusCode::OK, &id, &*outcome)?),
        Record::Unknown => return Err(record::unknown(&id).into()),
        Record::Running => "running",
        Record::Queued => "queued",
    };
    app.lingers.look_in(&app, &key).await;
    Ok(status(&headers, &id, state)?)
}

/// `DELETE /v1/requests/{id}`: 202, or the outcome if it has ended; 404 only if it is known not to exist.
pub(crate) async fn cancel(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = parse_id(&id)?;
    let key = Key::new(&app, &entry.caller, id.clone());
    match cancel::ask(&app, &key).await.map_err(|error| app.spread(error))? {
        Asked::Ended(outcome) => Ok(answer(&headers, StatusCode::OK, &id, &*outcome)?),
        Asked::Stored => Ok(status(&headers, &id, "cancelling")?),
    }
}

/// Parses a request from a door. The body must name the action: only a subject could name it instead.
pub(crate) fn parse(value: Value) -> Result<Request, Error> {
    let Some(fields) = value.as_object() else {
        return Err(Error::new(schemas::ErrorCode::InvalidRequest, schemas::request::EXPECTED));
    };
    match fields.get("action") {
        Some(Value::String(action)) => action.parse::<schemas::Action>().map(|_| ())?,
        Some(_) => return Err(Error::invalid("action", "expected a string")),
        None => return Err(Error::invalid("action", "is required; `auto` lets the server decide")),
    }
    schemas::codec::from_value(value, "")
}

pub(crate) fn parse_id(text: &str) -> Result<RequestId, Error> {
    RequestId::new(text).map_err(|error| Error::invalid("id", error))
}

fn status(headers: &HeaderMap, id: &RequestId, status: &str) -> Result<Response, Error> {
    answer(headers, StatusCode::ACCEPTED, id, &json!({ "id": id, "status": status }))
}

/// `value` in the format that the client accepts.
fn answer(
    headers: &HeaderMap,
    status: StatusCode,
    id: &RequestId,
    value: &impl serde::Serialize,
) -> Result<Response, Error> {
    let accepts = door::text(headers, header::ACCEPT.as_str()).unwrap_or_default();
    let wanted = accepts.split(',').find_map(Format::from_content_type).unwrap_or_default();
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(wanted.content_type()))];
    let mut response = (status, kind, wanted.encode(value)?).into_response();
    response.extensions_mut().insert(Named(id.clone()));
    Ok(response)
}
