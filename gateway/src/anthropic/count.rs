//! `POST /v1/messages/count_tokens`: counts by the rule of thumb of `/v1/estimate`, and marks the answer as an
//! estimate. Publishes nothing.

use axum::{
    Extension, Json,
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{payload::Chat, refusal::of_body, version::Version};
use crate::{
    app::App,
    door::{self, Entry},
    estimate,
    refusal::Refusal,
};

#[derive(Serialize)]
struct Count {
    input_tokens: u64,
}

/// Estimates how many tokens the prompt has.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let version = Version::of(&headers)?;
    let (body, _share) = door::read_json(&app, &headers, body).await?;
    let payload = Chat::read_to_count(body, version)?.payload;
    let input_tokens = estimate::tokens_of(&app, &entry.caller, payload).map_err(of_body)?;
    Ok(estimate::marked(Json(Count { input_tokens }).into_response()))
}
