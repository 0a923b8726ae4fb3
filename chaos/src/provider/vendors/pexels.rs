//! Pexels: `GET /pexels/v1/search` for photos, `GET /pexels/videos/search` for videos. The key has no prefix.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};

use super::visit::{Answer, Refusal, Reply, Vendor, Visit, work};
use crate::provider::sim::Sim;

/// How many results every search finds.
const RESULTS: u32 = 100;
const PER_PAGE: u32 = 15;
const PER_PAGE_MAX: u32 = 80;

static VENDOR: Vendor = Vendor {
    name: "pexels",
    key_header: "authorization",
    key_prefix: "",
    error,
    words,
    tells_retry_after: false,
};

pub(super) fn routes() -> Router<Arc<Sim>> {
    let photos = |State(sim): State<Arc<Sim>>, request: Request| work(sim, &VENDOR, request, photos);
    let videos = |State(sim): State<Arc<Sim>>, request: Request| work(sim, &VENDOR, request, videos);
    Router::new()
        .route("/pexels/v1/search", get(photos))
        .route("/pexels/videos/search", get(videos))
        .route("/pexels/v1/videos/search", get(videos))
}

fn error(status: u16, code: &str, message: &str) -> Value {
    if status == 401 { json!({"status": status, "code": code}) } else { json!({ "error": message }) }
}

fn words(status: u16) -> (&'static str, &'static str) {
    match status {
        401 => ("Unauthorized", "Unauthorized"),
        429 => ("", "Rate limit exceeded"),
        500.. => ("", "Internal Server Error"),
        _ => ("", "The request was refused."),
    }
}

/// The requested page, and the places of its results.
fn page(visit: &Visit<'_>) -> Result<(u32, u32, std::ops::Range<u32>), Refusal> {
    // A key with a word before it is no key.
    if visit.header("authorization").starts_with("Bearer ") {
        return Err(Refusal::new(401, "Unauthorized", ""));
    }
    if visit.query("query").is_none_or(str::is_empty) {
        return Err(Refusal::new(400, "", "No query provided"));
    }
    let number = |name| visit.query(name).and_then(|text| text.parse::<u32>().ok());
    let page = number("page").unwrap_or(1).max(1);
    let per_page = number("per_page").unwrap_or(PER_PAGE).clamp(1, PER_PAGE_MAX);
    let first = (page - 1).saturating_mul(per_page).min(RESULTS);
    Ok((page, per_page, first..first.saturating_add(per_page).min(RESULTS)))
}

fn reply(visit: &Visit<'_>, kind: &str, item: impl Fn(u32) -> Value) -> Answer {
    let (page, per_page, places) = page(visit)?;
    let items: Vec<_> = places.map(item).collect();
    let body = json!({"page": page, "per_page": per_page, "total_results": RESULTS, kind: items});
    Ok(Reply::json(StatusCode::OK, &body)
        .header("x-ratelimit-limit", 20_000)
        .header("x-ratelimit-remaining", 19_684)
        .header("x-ratelimit-reset", 1_800_000_000))
}

fn photos(visit: &Visit<'_>) -> Answer {
    reply(visit, "photos", |place| {
        let id = 2_014_422 + place;
        let source =
            |size: &str| format!("https://images.pexels.com/photos/{id}/pexels-photo-{id}.jpeg?{size}");
        json!({"id": id, "width": 3_024, "height": 4_032, "url": format!("https://www.pexels.com/photo/{id}/"),
            "photographer": "Joey Farina", "photographer_url": "https://www.pexels.com/@joey", "photographer_id": 680_589,
            "avg_color": "#978E82", "src": {"original": source(""), "medium": source("h=350"), "tiny": source("h=200")},
            "liked": false, "alt": "Brown Rocks During Golden Hour"})
    })
}

fn videos(visit: &Visit<'_>) -> Answer {
    reply(visit, "videos", |place| {
        let id = 1_448_735 + place;
        let file = |quality: &str, width: u32, height: u32| {
            json!({"id": id, "quality": quality, "file_type": "video/mp4", "width": width, "height": height, "fps": 25.0,
                "link": format!("https://videos.pexels.com/video-files/{id}/{width}.mp4"), "size": 1_000})
        };
        json!({"id": id, "width": 1_920, "height": 1_080, "url": format!("https://www.pexels.com/video/{id}/"),
            "image": format!("https://images.pexels.com/videos/{id}/free.jpg"), "duration": 32,
            "user": {"id": 574_687, "name": "Ruvim", "url": "https://www.pexels.com/@digitech"},
            "video_files": [file("sd", 640, 360), file("hd", 1_920, 1_080), file("sd", 960, 540)], "video_pictures": []})
    })
}
