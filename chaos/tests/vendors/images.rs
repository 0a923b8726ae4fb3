//! Ideogram and Stability.

use adapters::{
    KeyFault::{Rejected, Spent},
    Remedy::{DisableKey, FallBack, Fatal, Retry, Throttle},
};
use schemas::ErrorCode::{DeadlineExceeded, InvalidRequest, ProviderError, ProviderUnavailable, RateLimited};

use super::*;

const IMAGE: Action = Action::ImageGenerate;

async fn ideogram() -> Vendor {
    Vendor::start("ideogram", "/ideogram").await
}

async fn stability() -> Vendor {
    Vendor::start("stability", "/stability").await
}

#[tokio::test]
async fn ideogram_makes_images_of_openais_payload() {
    let vendor = ideogram().await;
    let payload = json!({"prompt": "a cat", "n": 2, "size": "1792x1024", "model": "alias"});
    let brought = vendor.call(IMAGE, "ideogram-v3-turbo", payload, "", "").await;
    let files = brought.files();
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|(kind, bytes)| kind == "image/png" && bytes.starts_with(b"\x89PNG")));
    let details = brought.details();
    assert_eq!(details["images"][1]["seed"], 1_001, "{details}");
    assert_eq!(
        (brought.finished().usage.images, brought.finished().model.as_str()),
        (2, "ideogram-v3-turbo")
    );
    assert!(!details.to_string().contains("http"), "a URL that expires is not told: {details}");
}

#[tokio::test]
async fn ideogram_remixes_an_image_and_edits_it_where_a_mask_lets_it() {
    let vendor = ideogram().await;
    let image = "data:image/png;base64,iVBORw0KGgo=";
    let rows = [
        (json!({"image": image, "image_weight": 30}), "remix"),
        (json!({"image": image, "mask": image, "size": "1024x1024"}), "edit"),
        (json!({"image": null}), "generate"),
    ];
    for (mut payload, path) in rows {
        payload["prompt"] = json!("a cat");
        let brought = vendor.call(IMAGE, "ideogram-v3", payload, "", "").await;
        assert_eq!(brought.files().len(), 1, "{path}");
        let asked = vendor.paths().into_iter().rfind(|path| path.starts_with("/ideogram")).unwrap();
        assert_eq!(asked, format!("/ideogram/v1/ideogram-v3/{path}"));
    }
    let payload = json!({"prompt": "a cat", "mask": image});
    let brought = vendor.call(IMAGE, "ideogram-v3", payload, "", "").await;
    brought.failed(InvalidRequest, FallBack, "a mask needs an image");
}

#[tokio::test]
async fn ideogram_withholds_with_a_good_status() {
    let vendor = ideogram().await;
    let one = vendor.call(IMAGE, "ideogram-v3", json!({"prompt": "x"}), "", "withheld").await;
    one.failed(InvalidRequest, Fatal, "withheld every image");
    let some = vendor.call(IMAGE, "ideogram-v3", json!({"prompt": "x", "n": 3}), "", "withheld").await;
    assert_eq!((some.files().len(), &some.details()["withheld"]), (1, &json!(2)));
}

#[tokio::test]
async fn ideograms_errors_are_understood() {
    let vendor = ideogram().await;
    let rows = [
        ("status=400", InvalidRequest, Fatal, "Something went wrong"),
        ("status=401", ProviderError, DisableKey(Rejected), "rejected our key"),
        ("status=422", InvalidRequest, Fatal, "failed the safety check"),
        ("status=429", RateLimited, Throttle, "Too many requests"),
        ("status=500", ProviderUnavailable, Retry, "failed"),
        ("html", ProviderUnavailable, Retry, "failed"),
        ("truncate", ProviderError, Retry, "not JSON"),
        ("malformed", ProviderError, Retry, "not JSON"),
        ("cut-after=0", ProviderUnavailable, Retry, "broke the connection off"),
        ("reset-after=0", ProviderUnavailable, Retry, "broke the connection off"),
    ];
    for (sim, code, remedy, words) in rows {
        vendor.call(IMAGE, "ideogram-v3", json!({"prompt": "x"}), sim, "").await.failed(code, remedy, words);
    }
    let limited = json!({"prompt": "x"});
    vendor.call(IMAGE, "ideogram-v3", limited.clone(), "rpm=1", "").await.finished();
    vendor.call(IMAGE, "ideogram-v3", limited, "rpm=1", "").await.failed(RateLimited, Throttle, "");
}

#[tokio::test]
async fn files_that_are_none_are_told() {
    let vendor = ideogram().await;
    let rows = [
        ("expired", ProviderError, FallBack, "not there, or not any more (status 403)"),
        ("moved", ProviderError, FallBack, "redirects are not followed"),
        ("huge", ProviderError, FallBack, "over the limit"),
        ("page", ProviderError, Retry, "`text/html` where a file was expected"),
        ("empty", ProviderError, Retry, "empty file"),
        ("elsewhere", ProviderError, FallBack, "http://localhost"),
    ];
    for (media, code, remedy, words) in rows {
        let brought = vendor.call(IMAGE, "ideogram-v3", json!({"prompt": "x"}), "", media).await;
        brought.failed(code, remedy, words);
    }
}

#[tokio::test]
async fn a_file_elsewhere_is_fetched_without_our_key_where_the_file_allows_its_host() {
    let vendor = ideogram().await;
    let edits = [(r#"hosts = ["ideogram.ai"]"#, r#"hosts = ["localhost"]"#)];
    let call = call(IMAGE, "ideogram-v3", json!({"prompt": "x"}), PATIENCE);
    // The store there refuses whoever sends a key.
    let brought = vendor.call_edited(&edits, call, "", "elsewhere").await;
    assert_eq!(brought.files().len(), 1);
    let [.., last] = &vendor.calls.snapshot().entries[..] else { panic!() };
    assert_eq!((last.path.as_str(), last.authorization.as_deref()), ("/_files", None));
    assert_eq!(last.idempotency_key, None, "nor anything else of the call");
}

#[tokio::test]
async fn more_files_than_allowed_are_refused() {
    let vendor = ideogram().await;
    let edits = [("[variables]\n", "[limits]\nfiles = 1\nfile_bytes = 10\n[variables]\n")];
    let of = |n: u32| call(IMAGE, "ideogram-v3", json!({"prompt": "x", "n": n}), PATIENCE);
    vendor.call_edited(&edits, of(2), "", "").await.failed(
        ProviderError,
        FallBack,
        "2 files; the limit is 1",
    );
    vendor.call_edited(&edits, of(1), "", "").await.failed(ProviderError, FallBack, "limit of 10 bytes");
}

#[tokio::test]
async fn a_silent_vendor_is_ended_by_the_deadline() {
    let vendor = ideogram().await;
    let adapter = vendor.adapter("ideogram", "stall", "", json!({}));
    let call = call(IMAGE, "ideogram-v3", json!({"prompt": "x"}), Duration::from_millis(300));
    brought(&*adapter, call).await.failed(DeadlineExceeded, Fatal, "deadline");
}

#[tokio::test]
async fn stability_streams_an_image_from_each_of_its_services() {
    let vendor = stability().await;
    for model in ["ultra", "core", "sd3.5-large", "sd3.5-medium"] {
        let payload = json!({"prompt": "a cat", "size": "1024x1792"});
        let brought = vendor.call(IMAGE, model, payload, "", "").await;
        let files = brought.files();
        assert_eq!((files.len(), files[0].0.as_str()), (1, "image/png"), "{model}");
        assert_eq!((&brought.details()["seed"], brought.finished().usage.images), (&json!("343940597"), 1));
    }
    let services =
        ["ultra", "core", "sd3", "sd3"].map(|s| format!("/stability/v2beta/stable-image/generate/{s}"));
    assert_eq!(vendor.paths(), services);
}

#[tokio::test]
async fn stability_begins_with_an_image_where_one_is_given() {
    let vendor = stability().await;
    let payload = json!({"prompt": "a cat", "image": "data:image/png;base64,iVBORw0KGgo="});
    assert_eq!(vendor.call(IMAGE, "sd3.5-large", payload, "", "").await.files().len(), 1);
    let broken = json!({"prompt": "a cat", "image": "data:image/png;base64,!"});
    vendor.call(IMAGE, "sd3.5-large", broken, "", "").await.failed(
        InvalidRequest,
        FallBack,
        "image: is not base64",
    );
}

#[tokio::test]
async fn stability_withholds_a_blurred_image_and_makes_one_a_call() {
    let vendor = stability().await;
    let blurred = vendor.call(IMAGE, "core", json!({"prompt": "x"}), "", "withheld").await;
    blurred.failed(InvalidRequest, Fatal, "withheld the image as unsafe");
    assert!(blurred.files().is_empty(), "the blurred image is not handed on");
    let two = vendor.call(IMAGE, "core", json!({"prompt": "x", "n": 2}), "", "").await;
    two.failed(InvalidRequest, FallBack, "cannot do this request: makes one image a call");
}

#[tokio::test]
async fn stabilitys_errors_are_understood() {
    let vendor = stability().await;
    let rows = [
        ("status=400", InvalidRequest, Fatal, "refused the request: The request was refused."),
        ("status=401", ProviderError, DisableKey(Rejected), "rejected our key"),
        (
            "status=402",
            ProviderError,
            DisableKey(Spent),
            "wants to be paid first: it said: You lack sufficient credits",
        ),
        ("status=403", InvalidRequest, Fatal, "refused the prompt as unsafe"),
        ("status=413", schemas::ErrorCode::TooLarge, Fatal, "larger than 10MiB"),
        ("status=429,retry-after=7", RateLimited, Throttle, "150 requests"),
        ("status=500", ProviderUnavailable, Retry, "unexpected error"),
        ("cut-after=1", ProviderUnavailable, Retry, "broke the connection off"),
    ];
    for (sim, code, remedy, words) in rows {
        vendor.call(IMAGE, "core", json!({"prompt": "x"}), sim, "").await.failed(code, remedy, words);
    }
}
