//! Pexels.

use adapters::{
    KeyFault::Rejected,
    Remedy::{DisableKey, Fatal, Retry, Throttle},
};
use schemas::ErrorCode::{InvalidRequest, ProviderError, ProviderUnavailable, RateLimited};

use super::*;

async fn search(payload: Value, sim: &str) -> Brought {
    let vendor = Vendor::start("pexels", "/pexels").await;
    vendor.call(Action::MediaSearch, "pexels", payload, sim, "").await
}

fn found(brought: &Brought) -> &Value {
    match &brought.finished().output {
        Output::Other(found) => found,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn photos_are_found_in_one_form() {
    let brought =
        search(json!({"query": "big rocks & sea", "page": 2, "per_page": 3, "orientation": "portrait"}), "")
            .await;
    let found = found(&brought);
    assert_eq!(
        (&found["total"], &found["page"], found["items"].as_array().unwrap().len()),
        (&json!(100), &json!(2), 3)
    );
    let expected = json!({"kind": "photo", "id": "2014425", "width": 3024, "height": 4032,
        "url": "https://images.pexels.com/photos/2014425/pexels-photo-2014425.jpeg?",
        "page_url": "https://www.pexels.com/photo/2014425/",
        "author": "Joey Farina", "author_url": "https://www.pexels.com/@joey",
        "preview_url": "https://images.pexels.com/photos/2014425/pexels-photo-2014425.jpeg?h=350",
        "description": "Brown Rocks During Golden Hour"});
    assert_eq!(found["items"][0], expected);
}

#[tokio::test]
async fn videos_are_found_in_the_same_form_with_their_largest_file() {
    let brought = search(json!({"query": "sea", "kind": "video", "per_page": 1}), "").await;
    let expected = json!({"kind": "video", "id": "1448735", "width": 1920, "height": 1080, "duration_s": 32,
        "url": "https://videos.pexels.com/video-files/1448735/1920.mp4",
        "page_url": "https://www.pexels.com/video/1448735/",
        "author": "Ruvim", "author_url": "https://www.pexels.com/@digitech",
        "preview_url": "https://images.pexels.com/videos/1448735/free.jpg"});
    assert_eq!(found(&brought)["items"], json!([expected]));
}

#[tokio::test]
async fn a_page_beyond_the_last_is_empty() {
    let brought = search(json!({"query": "sea", "page": 1_000}), "").await;
    assert_eq!(found(&brought)["items"], json!([]));
}

#[tokio::test]
async fn its_errors_are_understood() {
    let rows = [
        ("status=400", InvalidRequest, Fatal, "The request was refused."),
        ("status=401", ProviderError, DisableKey(Rejected), "rejected our key"),
        ("status=429", RateLimited, Throttle, "Rate limit exceeded"),
        ("status=500", ProviderUnavailable, Retry, "Internal Server Error"),
        ("truncate", ProviderError, Retry, "not JSON"),
        ("html", ProviderUnavailable, Retry, "failed"),
    ];
    for (sim, code, remedy, words) in rows {
        search(json!({"query": "sea"}), sim).await.failed(code, remedy, words);
    }
}
