//! Shotstack, and with it how long work is waited for.

use adapters::{
    KeyFault::Rejected,
    Remedy::{DisableKey, FallBack, Fatal, Retry, Throttle},
};
use schemas::ErrorCode::{DeadlineExceeded, InvalidRequest, ProviderError, ProviderUnavailable, RateLimited};

use super::*;

/// The shipped file asks every two seconds.
const HURRY: [(&str, &str); 1] = [("every_ms = 2_000", "every_ms = 50")];

fn render(patience: Duration) -> Call {
    let clip = json!({"asset": {"type": "image", "src": "https://x.test/a.png"}, "start": 0, "length": 2.5});
    let payload =
        json!({"timeline": {"tracks": [{"clips": [clip]}]}, "output": {"format": "mp4", "resolution": "sd"}});
    call(Action::VideoRender, "shotstack", payload, patience)
}

async fn vendor() -> Vendor {
    Vendor::start("shotstack", "/shotstack/edit/v1").await
}

async fn rendered(sim: &str, media: &str) -> Brought {
    vendor().await.call_edited(&HURRY, render(PATIENCE), sim, media).await
}

#[tokio::test]
async fn a_video_is_rendered_while_it_is_asked_after() {
    let brought = rendered("", "polls=4").await;
    assert_eq!(brought.moved(), ["rendering"; 3]);
    let files = brought.files();
    assert_eq!((files.len(), files[0].0.as_str()), (1, "video/mp4"));
    assert_eq!((brought.finished().usage.media_ms, &brought.details()["duration_s"]), (2_500, &json!(2.5)));
}

#[tokio::test]
async fn a_question_that_fails_is_asked_again_and_the_work_is_not() {
    let vendor = vendor().await;
    let brought = vendor.call_edited(&HURRY, render(PATIENCE), "", "poll-fails=3").await;
    assert_eq!(brought.files().len(), 1);
    assert_eq!(vendor.paths().iter().filter(|path| path.ends_with("/render")).count(), 1);
    let never = vendor.call_edited(&HURRY, render(PATIENCE), "", "poll-fails=1000").await;
    never.failed(ProviderUnavailable, Retry, "Service Unavailable");
}

#[tokio::test]
async fn work_that_never_ends_is_ended_by_the_deadline() {
    let vendor = vendor().await;
    let brought = vendor.call_edited(&HURRY, render(Duration::from_millis(700)), "", "polls=100000").await;
    brought.failed(DeadlineExceeded, Fatal, "deadline");
    assert!(!brought.moved().is_empty(), "each answer is a sign of life");
}

#[tokio::test]
async fn a_state_that_the_file_does_not_know_is_named() {
    rendered("", "state=dreaming").await.failed(ProviderError, FallBack, "`dreaming`; add it to pending");
}

#[tokio::test]
async fn work_that_fails_says_why() {
    let brought = rendered("", "failed").await;
    brought.failed(ProviderError, FallBack, "ended as `failed`: Asset could not be downloaded");
}

#[tokio::test]
async fn its_errors_are_understood() {
    let rows = [
        ("status=400", "", InvalidRequest, Fatal, "refused the request: The request was refused."),
        ("status=401", "", ProviderError, DisableKey(Rejected), "rejected our key"),
        ("status=403", "", ProviderError, FallBack, "does not let our key do this"),
        ("status=429", "", RateLimited, Throttle, "Too Many Requests"),
        ("status=500", "", ProviderUnavailable, Retry, "Internal Server Error"),
        ("", "expired", ProviderError, FallBack, "not any more"),
        ("malformed", "", ProviderError, Retry, "not JSON"),
    ];
    for (sim, media, code, remedy, words) in rows {
        rendered(sim, media).await.failed(code, remedy, words);
    }
    let nothing = call(Action::VideoRender, "shotstack", json!({"timeline": {"tracks": []}}), PATIENCE);
    let brought = vendor().await.call_edited(&HURRY, nothing, "", "").await;
    brought.failed(InvalidRequest, Fatal, "\"timeline.tracks\" is required");
}
