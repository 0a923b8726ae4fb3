//! `/v1/estimate`: what a request would cost. Nothing of it is published.

use axum::{Extension, Json, body::Body, extract::State, http::HeaderMap};
use schemas::{Error, Estimate, Request};

use crate::{
    app::{App, Shared},
    caller::Caller,
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
