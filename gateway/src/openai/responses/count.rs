//! `POST /v1/responses/input_tokens`: counts by the same rule of thumb as `/v1/estimate`, and says so in the answer.
//! Publishes nothing.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    create::{self, Create},
    kept,
};
use crate::{
    app::App,
    door::{self, Entry},
    estimate,
    refusal::Refusal,
};

/// Estimates the tokens of a question, including the conversation that it continues.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (body, mut share) = door::read_json(&app, &headers, body).await?;
    let asked = Create::parse(body)?;
    let before = match &asked.previous_response_id {
        Some(id) => kept::conversation(&app, &entry.caller, id, &mut share).await?,
        None => Vec::new(),
    };
    let payload = asked.into_asked(before)?.request.payload;
    let tokens = estimate::tokens_of(&app, &entry.caller, payload).map_err(create::relative)?;
    let count = json!({ "object": "response.input_tokens", "input_tokens": tokens });
    Ok(estimate::marked(Json(count).into_response()))
}
