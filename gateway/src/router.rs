//! The table of routes.

use std::any::Any;

use axum::{
    Router,
    http::{Method, StatusCode, Uri},
    middleware,
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use schemas::{Error, ErrorCode};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

use crate::{
    app::App,
    assets, dead, door, estimate, events, health, keys, native, openai,
    refusal::{self, Refusal, Refused},
    status, usage, webhooks, ws,
};

/// Every route of every door.
pub(crate) fn routes(app: App) -> Router {
    Router::new()
        .route("/", get(health::index))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/v1/status", get(status::get))
        .route("/v1/chat/completions", post(openai::chat::create))
        .route("/v1/embeddings", post(openai::embeddings::create))
        .route("/v1/images/generations", post(openai::images::generate))
        .route("/v1/audio/speech", post(openai::speech::create))
        .route("/v1/models", get(openai::models::list))
        .route("/v1/models/{*id}", get(openai::models::get))
        .route("/v1/requests", post(native::create))
        .route("/v1/requests/{id}", get(native::get).delete(native::cancel))
        .route("/v1/requests/{id}/events", get(events::of_request))
        .route("/v1/assets/{id}", get(assets::get))
        .route("/v1/assets/{id}/link", get(assets::link_to))
        .route("/v1/webhooks/{token}", post(webhooks::receive))
        .route("/v1/events", get(events::of_tenant))
        .route("/v1/estimate", post(estimate::create))
        .route("/v1/usage", get(usage::get))
        .route("/v1/dead", get(dead::list))
        .route("/v1/dead/{sequence}", get(dead::show).delete(dead::remove))
        .route("/v1/dead/{sequence}/replay", post(dead::replay))
        .route("/v1/keys", get(keys::door::list).post(keys::door::create))
        .route("/v1/keys/{id}", get(keys::door::show).delete(keys::door::revoke))
        .route("/v1/keys/{id}/rotate", post(keys::door::rotate))
        .route("/ws", any(ws::upgrade))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app.clone(), door::enter))
        .with_state(app)
}

async fn unknown_route(uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(128).collect();
    Refusal(Error::new(ErrorCode::NotFound, format!("no route `{path}`; GET / lists them")))
}

async fn unknown_method(method: Method, uri: Uri) -> Response {
    let path: String = uri.path().chars().take(128).collect();
    let error = Error::new(ErrorCode::InvalidRequest, format!("`{path}` does not take {method}"));
    let mut response = refusal::with_status(StatusCode::METHOD_NOT_ALLOWED, &error);
    response.extensions_mut().insert(Refused(error.code));
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    error!(panic = what.unwrap_or("of an unknown type"), "a door panicked");
    Refusal(Error::new(ErrorCode::Internal, "a fault of this server; the log says more")).into_response()
}
