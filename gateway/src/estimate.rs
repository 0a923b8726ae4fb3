//! `/v1/estimate`: what a request would cost. Nothing of it is published.

use axum::{Extension, Json, body::Body, extract::State, http::HeaderMap};
use schemas::{Estimate, Request};

use crate::{
    app::App,
    door::{self, Entry},
    native,
    refusal::Refusal,
    submit,
};

/// `POST /v1/estimate`.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(entry): Extension<Entry>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Estimate>, Refusal> {
    let (body, _share) = door::read_body(&app, body).await?;
    let format = door::body_format(&headers, &body)?;
    let mut request: Request = native::parse(format.decode(&body)?)?;
    submit::check_tenant(&entry.caller, &request)?;
    entry.caller.check_scope(&request)?;
    request.sent_by = entry.caller.sent_by();
    Ok(Json((app.parts.estimate)(&entry.caller.tenant, request)?))
}
