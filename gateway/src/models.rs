//! `GET /v1/models` and `GET /v1/models/{id}`. Both APIs have these routes: each client is answered in the words of its own.

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

/// Every model that the caller may ask for; of Anthropic's API one page of those that chat.
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

/// One model. Its id may hold slashes, percent-encoded as the SDKs do or plain.
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
