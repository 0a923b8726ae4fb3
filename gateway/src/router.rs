//! The table of routes: which handler answers where, and what the OpenAPI document says of it.

use std::{any::Any, sync::Arc};

use axum::{
    Extension, Router,
    http::{Method, StatusCode, Uri},
    middleware,
    response::{IntoResponse, Response},
};
use schemas::{Error, ErrorCode};
use tower::util::{MapResponseLayer, option_layer};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

use crate::{
    absent, anthropic,
    app::App,
    assets, dead, docs, estimate, events, feedback,
    hardening::harden,
    health, keys, models, native, openai,
    openapi::{Table, describe},
    origin::Origins,
    page,
    passage::{self, Passage},
    refusal::{self, Refusal, Refused},
    status, targets, usage, webhooks, ws,
};

/// Whom an address serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Clients that send requests.
    Clients,
    /// Operators of this server.
    Operators,
    /// Anybody on this machine.
    Both,
}

/// Every route of one side, with its description for the OpenAPI document.
pub(crate) fn table(side: Side) -> Table {
    match side {
        Side::Clients => probes().merge(clients()),
        Side::Operators => probes().merge(operators()),
        Side::Both => probes().merge(clients()).merge(operators()),
    }
}

/// The routes of one side at `address`, behind the steps that every request passes.
pub(crate) fn routes(app: App, side: Side, address: &str) -> Router {
    let origins = Origins::of(&app.config, address);
    let shared = option_layer(origins.share().filter(|_| side != Side::Operators));
    let passage = Arc::new(Passage { app: app.clone(), origins });
    let passed = (
        MapResponseLayer::new(harden),
        shared,
        middleware::from_fn_with_state(passage, passage::pass),
        CatchPanicLayer::custom(panicked),
        Extension(side),
    );
    table(side)
        .router
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .layer(passed)
        .with_state(app)
}

/// Routes on every side.
#[rustfmt::skip]
fn probes() -> Table {
    Table::default()
        .get("/", health::index, describe::health::get_index)
        .get("/health/live", health::live, describe::health::check_live)
        .get("/health/ready", health::ready, describe::health::check_ready)
        .get("/openapi.json", docs::document, describe::documentation::get_openapi)
        .get("/docs", docs::page, describe::documentation::browse_docs)
        .get("/docs/contract", docs::contract, describe::documentation::read_contract)
}

/// What operators do, and what only they should see.
#[rustfmt::skip]
fn operators() -> Table {
    Table::default()
        .get("/metrics", health::metrics, describe::health::get_metrics)
        .get("/v1/status", status::get, describe::operations::get_status)
        .get("/v1/callbacks", targets::list, describe::operations::list_callback_targets)
        .post("/v1/callbacks/disable", targets::disable, describe::operations::disable_callback_target)
        .post("/v1/callbacks/{id}/enable", targets::enable, describe::operations::enable_callback_target)
        .get("/v1/dead", dead::list, describe::operations::list_dead_letters)
        .get("/v1/dead/{sequence}", dead::show, describe::operations::get_dead_letter)
        .delete("/v1/dead/{sequence}", dead::remove, describe::operations::drop_dead_letter)
        .post("/v1/dead/{sequence}/replay", dead::replay, describe::operations::replay_dead_letter)
}

/// Every door for clients that send requests.
#[rustfmt::skip]
fn clients() -> Table {
    Table::default()
        .post("/v1/chat/completions", openai::chat::create, describe::openai::create_chat_completion)
        .post("/v1/responses", openai::responses::create, describe::responses::create_response)
        .get("/v1/responses/{id}", openai::responses::get, describe::responses::get_response)
        .delete("/v1/responses/{id}", openai::responses::delete, describe::responses::delete_response)
        .get("/v1/responses/{id}/input_items", openai::responses::input_items::list, describe::responses::list_input_items)
        .post("/v1/responses/input_tokens", openai::responses::count::create, describe::responses::count_input_tokens)
        .post("/v1/responses/{id}/cancel", openai::responses::cancel, describe::responses::cancel_response)
        .post("/v1/embeddings", openai::embeddings::create, describe::openai::create_embedding)
        .post("/v1/images/generations", openai::images::generate, describe::openai::generate_image)
        .post("/v1/audio/speech", openai::speech::create, describe::openai::create_speech)
        .post("/v1/messages", anthropic::messages::create, describe::messages::create_message)
        .post("/v1/messages/count_tokens", anthropic::count::create, describe::messages::count_tokens)
        .get("/v1/models", models::list, describe::openai::list_models)
        .get("/v1/models/{*id}", models::get, describe::openai::get_model)
        .post("/v1/requests", native::create, describe::requests::submit_request)
        .get("/v1/requests/{id}", native::get, describe::requests::get_request)
        .delete("/v1/requests/{id}", native::cancel, describe::requests::cancel_request)
        .get("/v1/requests/{id}/events", events::of_request, describe::requests::stream_request_events)
        .get("/v1/events", events::of_tenant, describe::requests::stream_events)
        .get("/ws", ws::upgrade, describe::requests::open_websocket)
        .get("/chat", page::chat, describe::documentation::open_chat)
        .get("/v1/assets/{id}", assets::get, describe::assets::get_asset)
        .get("/v1/assets/{id}/link", assets::link_to, describe::assets::link_asset)
        .post("/v1/webhooks/{token}", webhooks::receive, describe::assets::receive_webhook)
        .post("/v1/feedback", feedback::create, describe::requests::rate_answer)
        .get("/v1/feedback/{id}", feedback::get, describe::requests::get_rating)
        .post("/v1/estimate", estimate::create, describe::costs::estimate_request)
        .get("/v1/usage", usage::get, describe::costs::get_usage)
        .get("/v1/keys", keys::door::list, describe::keys::list_keys)
        .post("/v1/keys", keys::door::create, describe::keys::create_key)
        .get("/v1/keys/{id}", keys::door::show, describe::keys::get_key)
        .delete("/v1/keys/{id}", keys::door::revoke, describe::keys::revoke_key)
        .post("/v1/keys/{id}/rotate", keys::door::rotate, describe::keys::rotate_key)
}

async fn unknown_route(uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(128).collect();
    let instead = absent::instead_of(&path).unwrap_or("GET / lists them");
    Refusal(Error::new(ErrorCode::NotFound, format!("no route `{path}`: {instead}")))
}

/// The router adds the methods that the path takes, as `Allow`.
async fn unknown_method(method: Method, uri: Uri) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let path: String = uri.path().chars().take(128).collect();
    let instead = absent::instead_of(&path).map(|instead| format!(": {instead}")).unwrap_or_default();
    let error = Error::new(ErrorCode::InvalidRequest, format!("`{path}` does not take {method}{instead}"));
    let mut response = refusal::with_status(StatusCode::METHOD_NOT_ALLOWED, &error);
    response.extensions_mut().insert(Refused(error.code));
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    error!(panic = what.unwrap_or("of an unknown type"), "a request handler panicked");
    Refusal(Error::new(ErrorCode::Internal, "this server failed; its log says more")).into_response()
}
