//! Translates errors into the form of the Messages API. Every refusal has one common form; for clients of this API the
//! outermost layer rewrites it, on all routes and for refusals before routing.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use schemas::{Error, ErrorCode, Format};
use serde::Serialize;

use super::{body::THREAD, version::is_spoken};
use crate::{
    door::X_REQUEST_ID,
    refusal::{self, Told},
};

/// Only clients of this API send requests here, whichever version they name.
const PATH: &str = "/v1/messages";
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The code by which the SDKs tell a spending limit from a rate limit.
const SPEND_LIMIT: &str = "enforced_spend_limit_reached";
/// The code on which the SDKs resend the request without a thread.
const NO_THREADS: &str = "thread_unsupported_request";

#[derive(Serialize)]
struct Envelope<'a> {
    r#type: &'static str,
    error: Object<'a>,
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Object<'a> {
    r#type: &'static str,
    message: &'a str,
    details: Details<'a>,
}

#[derive(Serialize)]
struct Details<'a> {
    error_code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
}

/// The form in which a client gets errors.
pub(crate) enum Tongue {
    /// That of the Messages API.
    Anthropic,
    /// Dynode's own, which is also that of OpenAI.
    Common,
}

impl Tongue {
    /// The form for the client that sends `request`.
    pub(crate) fn of(request: &Request) -> Self {
        let rest = request.uri().path().strip_prefix(PATH);
        let is_ours = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if is_ours || is_spoken(request.headers()) { Self::Anthropic } else { Self::Common }
    }

    /// The response with its error in this form, and with the request id in the header that the SDKs read.
    pub(crate) fn say(self, mut response: Response) -> Response {
        if matches!(self, Self::Common) {
            return response;
        }
        let id = response.headers().get(X_REQUEST_ID).cloned();
        if let Some(Told(error)) = response.extensions_mut().remove() {
            response = said_again(response, &error, id.as_ref().and_then(|id| id.to_str().ok()));
        }
        if let Some(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
}

/// Middleware that only translates errors.
pub(crate) async fn speak(request: Request, next: Next) -> Response {
    let tongue = Tongue::of(&request);
    tongue.say(next.run(request).await)
}

/// The same refusal in this form, with its retry hints.
fn said_again(response: Response, error: &Error, id: Option<&str>) -> Response {
    let (mut head, _) = response.into_parts();
    let row = error.code.row();
    // Some refusals have a status of their own, such as 405.
    if head.status == row.http_status {
        head.status = row.anthropic_status.try_into().unwrap_or(head.status);
    }
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(head, Body::from(text(error, id)))
}

/// The JSON text of an error, for a whole response or a stream.
pub(super) fn text(error: &Error, id: Option<&str>) -> Bytes {
    let error_code = match (error.code, error.param.as_deref()) {
        (ErrorCode::BudgetExceeded, _) => SPEND_LIMIT,
        (ErrorCode::InvalidRequest, Some(THREAD)) => NO_THREADS,
        (code, _) => code.as_str(),
    };
    let details = Details { error_code, param: error.param.as_deref() };
    let object = Object { r#type: error.code.row().anthropic_type, message: &error.message, details };
    // Strings and options always encode.
    Format::Json.encode(&Envelope { r#type: "error", error: object, request_id: id }).unwrap_or_default()
}

/// Turns an error about the payload into one about the body that the payload was made from.
pub(super) fn of_body(error: Error) -> Error {
    const SCHEMA: &str = "response_format.json_schema.schema";
    let mut error = refusal::relative_to_body(error);
    if let Some(rest) = error.param.as_deref().and_then(|param| param.strip_prefix(SCHEMA)) {
        let param = format!("output_config.format.schema{rest}");
        error.message = error.message.replacen(SCHEMA, "output_config.format.schema", 1);
        error.param = Some(param);
    }
    error
}
