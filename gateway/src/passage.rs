//! What every HTTP request passes on its way to its route, the outermost first. One layer of all of it: each that is added for
//! itself is one more service that every request makes a copy of.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use crate::{anthropic::refusal::Tongue, app::App, door, origin::Origins, remainder};

/// What is asked of by the way.
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
