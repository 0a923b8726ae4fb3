//! The table of routes: who answers where, and what the OpenAPI document says of it.

use std::any::Any;

use axum::{
    Router,
    http::{Method, StatusCode, Uri},
    middleware,
    response::{IntoResponse, Response},
};
use schemas::{Error, ErrorCode};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

use crate::{
    app::App,
    assets, dead, docs, door, estimate, events, health, native, openai,
    openapi::{Table, describe},
    refusal::{self, Refusal, Refused},
    status, usage, webhooks, ws,
};

/// Every route of every door, with what is said of it in the OpenAPI document.
#[rustfmt::skip]
pub(crate) fn table() -> Table {
    Table::default()
        .get("/", health::index, describe::health::get_index)
        .get("/health/live", health::live, describe::health::check_live)
        .get("/health/ready", health::ready, describe::health::check_ready)
        .get("/metrics", health::metrics, describe::health::get_metrics)
        .get("/openapi.json", docs::document, describe::documentation::get_openapi)
        .get("/docs", docs::page, describe::documentation::browse_docs)
        .get("/docs/contract", docs::contract, describe::documentation::read_contract)
        .post("/v1/chat/completions", openai::chat::create, describe::openai::create_chat_completion)
        .post("/v1/embeddings", openai::embeddings::create, describe::openai::create_embedding)
        .post("/v1/images/generations", openai::images::generate, describe::openai::generate_image)
        .post("/v1/audio/speech", openai::speech::create, describe::openai::create_speech)
        .get("/v1/models", openai::models::list, describe::openai::list_models)
        .get("/v1/models/{*id}", openai::models::get, describe::openai::get_model)
        .post("/v1/requests", native::create, describe::requests::submit_request)
        .get("/v1/requests/{id}", native::get, describe::requests::get_request)
        .delete("/v1/requests/{id}", native::cancel, describe::requests::cancel_request)
        .get("/v1/requests/{id}/events", events::of_request, describe::requests::stream_request_events)
        .get("/v1/events", events::of_tenant, describe::requests::stream_events)
        .get("/ws", ws::upgrade, describe::requests::open_websocket)
        .get("/v1/assets/{id}", assets::get, describe::assets::get_asset)
        .get("/v1/assets/{id}/link", assets::link_to, describe::assets::link_asset)
        .post("/v1/webhooks/{token}", webhooks::receive, describe::assets::receive_webhook)
        .post("/v1/estimate", estimate::create, describe::costs::estimate_request)
        .get("/v1/usage", usage::get, describe::costs::get_usage)
        .get("/v1/status", status::get, describe::operations::get_status)
        .get("/v1/dead", dead::list, describe::operations::list_dead_letters)
        .get("/v1/dead/{sequence}", dead::show, describe::operations::get_dead_letter)
        .delete("/v1/dead/{sequence}", dead::remove, describe::operations::drop_dead_letter)
        .post("/v1/dead/{sequence}/replay", dead::replay, describe::operations::replay_dead_letter)
}

/// The routes, and what every request passes before them.
pub(crate) fn routes(app: App) -> Router {
    let Table { router, .. } = table();
    router
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

/// The router adds the methods that the path does take, as `Allow`.
async fn unknown_method(method: Method, uri: Uri) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
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
