//! The steps that every HTTP request passes on its way to its route, the outermost first. They form one layer: each
//! separate layer would be one more service to clone for every request.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use crate::{anthropic::refusal::Tongue, app::App, door, origin::Origins, remainder};

/// What the steps need.
pub(crate) struct Passage {
    pub(crate) app: App,
    pub(crate) origins: Arc<Origins>,
}

/// The layer.
pub(crate) async fn pass(State(passage): State<Arc<Passage>>, request: Request, next: Next) -> Response {
    let tongue = Tongue::of(&request);
    let (request, remainder) = remainder::lend(request);
    let response = door::enter(&passage, request, next).await;
    tongue.say(remainder.read_on(response).await)
}
