//! `/v1/estimate`: what a request would cost. Nothing of it is published.

use axum::{Json, body::Body, extract::State, http::HeaderMap};
use schemas::{Estimate, Request};

use crate::{app::App, door, native, refusal::Refusal, submit};

/// `POST /v1/estimate`.
pub(crate) async fn create(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Estimate>, Refusal> {
    let (body, _share) = door::read_body(&app, body).await?;
    let format = door::body_format(&headers, &body)?;
    let request: Request = native::parse(format.decode(&body)?)?;
    submit::check_tenant(&app, &request)?;
    Ok(Json((app.parts.estimate)(app.tenant(), request)?))
}
