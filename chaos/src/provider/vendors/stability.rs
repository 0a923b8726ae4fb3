//! Stability AI: `POST /stability/v2beta/stable-image/generate/{ultra|core|sd3}`, a multipart form in, an image out.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;

use super::samples::PNG;
use super::visit::{Answer, Refusal, Reply, Vendor, Visit, work};
use crate::provider::sim::Sim;

const RATIOS: [&str; 9] = ["16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21"];
const MODELS: [&str; 4] = ["sd3.5-large", "sd3.5-large-turbo", "sd3.5-medium", "sd3.5-flash"];

static VENDOR: Vendor = Vendor {
    name: "stability",
    key_header: "authorization",
    key_prefix: "Bearer ",
    error: |_, code, message| json!({"id": "sim", "name": code, "errors": [message]}),
    words,
    tells_retry_after: false,
};

pub(super) fn routes() -> Router<Arc<Sim>> {
    let generate = |State(sim): State<Arc<Sim>>, request: Request| work(sim, &VENDOR, request, generate);
    Router::new().route("/stability/v2beta/stable-image/generate/{service}", post(generate))
}

fn words(status: u16) -> (&'static str, &'static str) {
    match status {
        401 => ("unauthorized", "missing or invalid authorization header"),
        402 => ("payment_required", "You lack sufficient credits to make this request."),
        403 => ("content_moderation", "Your request was flagged by our content moderation system."),
        413 => ("payload_too_large", "Your request was larger than 10MiB."),
        429 => ("rate_limit_exceeded", "You have made more than 150 requests in 10 seconds."),
        500.. => ("internal_error", "An unexpected error occurred."),
        _ => ("bad_request", "The request was refused."),
    }
}

fn generate(visit: &Visit<'_>) -> Answer {
    let invalid = |message: &str| Refusal::new(400, "bad_request", message);
    if !visit.is_multipart {
        return Err(invalid("content-type: must be multipart/form-data"));
    }
    visit.text("prompt").ok_or_else(|| invalid("prompt: cannot be blank"))?;
    if visit.text("aspect_ratio").is_some_and(|ratio| !RATIOS.contains(&ratio)) {
        return Err(invalid("aspect_ratio: invalid value"));
    }
    match (visit.segment(4), visit.text("model")) {
        ("ultra" | "core", None) => {}
        ("sd3", Some(model)) if MODELS.contains(&model) => {}
        ("ultra" | "core" | "sd3", _) => return Err(invalid("model: invalid value")),
        _ => return Err(Refusal::new(404, "not_found", "no such service")),
    }
    let finish_reason = if visit.twist.withheld { "CONTENT_FILTERED" } else { "SUCCESS" };
    if visit.header("accept").starts_with("application/json") {
        let body =
            json!({"image": STANDARD.encode(PNG), "finish_reason": finish_reason, "seed": 343_940_597});
        return Ok(Reply::json(StatusCode::OK, &body));
    }
    let half = PNG.len() / 2;
    let pieces = vec![Bytes::from_static(&PNG[..half]), Bytes::from_static(&PNG[half..])];
    Ok(Reply::bytes("image/png", pieces)
        .header("finish-reason", finish_reason)
        .header("seed", 343_940_597)
        .header("x-request-id", &visit.id))
}
