//! `GET /v1/models` and `GET /v1/models/{id}`: both APIs share these routes, and each client gets its own API's format.

use axum::{
    Extension, Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};

use crate::{
    anthropic::{self, is_spoken},
    app::App,
    door::{Entry, Path, Query},
    openai,
    refusal::Refusal,
};

/// Lists every model that the caller may use; in Anthropic's API, one page of the chat models.
pub(crate) async fn list(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    Query(page): Query<anthropic::models::Page>,
) -> Result<Response, Refusal> {
    Ok(match is_spoken(&headers) {
        true => Json(anthropic::models::listing(&app, &entry.caller, &page)?).into_response(),
        false => Json(openai::models::listing(&app, &entry.caller)).into_response(),
    })
}

/// One model. Its id may contain slashes, percent-encoded, as the SDKs send them, or plain.
pub(crate) async fn get(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Ok(match is_spoken(&headers) {
        true => Json(anthropic::models::find(&app, &entry.caller, &id)?).into_response(),
        false => Json(openai::models::find(&app, &entry.caller, &id)?).into_response(),
    })
}
