//! Ideogram 3: `POST /ideogram/v1/ideogram-v3/generate`, `remix` (of an image) and `edit` (where a mask lets it), a
//! multipart form in, URLs out. An unsafe image has no URL.

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
    Router::new()
        .route("/ideogram/v1/ideogram-v3/generate", post(generate))
        .route("/ideogram/v1/ideogram-v3/remix", post(generate))
        .route("/ideogram/v1/ideogram-v3/edit", post(generate))
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
    let needs: &[&str] = match visit.segment(3) {
        "remix" => &["image"],
        "edit" => &["image", "mask"],
        _ => &[],
    };
    if let Some(part) = needs.iter().find(|part| visit.text(part).is_none()) {
        return Err(invalid(&format!("{part} is required")));
    }
    let is_shaped = ["resolution", "aspect_ratio"].iter().any(|name| visit.text(name).is_some());
    if is_shaped && needs.contains(&"mask") {
        return Err(invalid("an edited image keeps its shape"));
    }
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
        // Of several, the first is spared, so that some are left.
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
