//! Ideogram 3: `POST /ideogram/v1/ideogram-v3/generate`, a form of parts in, URLs out. What is unsafe has none.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::post;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::visit::{Answer, Refusal, Reply, Vendor, Visit, work};
use crate::provider::sim::Sim;

const IMAGES_MAX: u32 = 8;
const SPEEDS: [&str; 4] = ["FLASH", "TURBO", "DEFAULT", "QUALITY"];

static VENDOR: Vendor = Vendor {
    name: "ideogram",
    key_header: "api-key",
    key_prefix: "",
    error: |_, _, message| json!({ "error": message }),
    words,
    tells_retry_after: false,
};

pub(super) fn routes() -> Router<Arc<Sim>> {
    let generate = |State(sim): State<Arc<Sim>>, request: Request| work(sim, &VENDOR, request, generate);
    Router::new().route("/ideogram/v1/ideogram-v3/generate", post(generate))
}

fn words(status: u16) -> (&'static str, &'static str) {
    match status {
        401 => ("", "Invalid API key or insufficient permissions"),
        422 => ("", "Prompt failed the safety check"),
        429 => ("", "Too many requests"),
        _ => ("", "Something went wrong"),
    }
}

fn generate(visit: &Visit<'_>) -> Answer {
    let invalid = |message: &str| Refusal::new(400, "", message);
    if !visit.is_multipart {
        return Err(invalid("Expected multipart/form-data"));
    }
    let prompt = visit.text("prompt").ok_or_else(|| invalid("prompt is required"))?;
    let count = match visit.text("num_images").map(str::parse::<u32>) {
        None => 1,
        Some(Ok(count)) if (1..=IMAGES_MAX).contains(&count) => count,
        Some(_) => return Err(invalid("num_images must be between 1 and 8")),
    };
    let ratio = visit.text("aspect_ratio");
    if ratio.is_some() && visit.text("resolution").is_some() {
        return Err(invalid("resolution and aspect_ratio cannot be combined"));
    }
    if ratio.is_some_and(|ratio| !ratio.contains('x')) {
        return Err(invalid("aspect_ratio must be like 16x9"));
    }
    if !SPEEDS.contains(&visit.text("rendering_speed").unwrap_or("DEFAULT")) {
        return Err(invalid("rendering_speed is unknown"));
    }
    let image = |index: u32| {
        // The first of several is spared, so that some are left.
        let withheld = visit.twist.withheld && (count == 1 || index > 0);
        let url = visit.file(&visit.twist, &format!("{index}.png"));
        json!({
            "prompt": prompt,
            "resolution": visit.text("resolution").unwrap_or("1024x1024"),
            "is_image_safe": !withheld,
            "seed": 1_000 + index,
            "url": if withheld { Value::Null } else { url.into() },
            "style_type": visit.text("style_type").unwrap_or("GENERAL"),
        })
    };
    let data: Vec<_> = (0..count).map(image).collect();
    Ok(Reply::json(StatusCode::OK, &json!({"created": Timestamp::now().to_string(), "data": data})))
}
