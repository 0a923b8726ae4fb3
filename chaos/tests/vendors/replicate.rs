//! Replicate.

use adapters::{
    KeyFault::{Rejected, Spent},
    Remedy::{DisableKey, FallBack, Fatal, Retry, Throttle},
};
use schemas::ErrorCode::{InvalidRequest, NotFound, ProviderError, ProviderUnavailable, RateLimited};

use super::*;

const FLUX: &str = "black-forest-labs/flux-schnell";
const LLAMA: &str = "meta/meta-llama-3-8b-instruct";

async fn vendor() -> Vendor {
    Vendor::start("replicate", "/replicate/v1").await
}

#[tokio::test]
async fn images_are_waited_for_and_fetched() {
    let vendor = vendor().await;
    let payload = json!({"prompt": "a cat", "n": 2, "size": "1024x1024"});
    let brought = vendor.call(Action::ImageGenerate, FLUX, payload, "", "polls=1").await;
    assert_eq!(brought.files().len(), 2);
    assert_eq!(brought.moved(), ["starting"]);
    assert_eq!((brought.finished().usage.images, &brought.details()["predict_time_s"]), (2, &json!(1.25)));
    assert_eq!(vendor.paths()[0], format!("/replicate/v1/models/{FLUX}/predictions"));
}

#[tokio::test]
async fn work_that_is_done_at_once_needs_no_question() {
    let vendor = vendor().await;
    let payload = json!({"prompt": "a cat"});
    let brought = vendor.call(Action::ImageGenerate, FLUX, payload, "", "polls=0").await;
    assert_eq!((brought.files().len(), brought.moved().len()), (1, 0));
    assert_eq!(vendor.paths().len(), 2, "the work and its file");
}

#[tokio::test]
async fn a_chat_is_answered_and_its_tokens_are_put_together() {
    let vendor = vendor().await;
    let messages =
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi \"you\""}]);
    let brought = vendor
        .call(Action::ChatCompletion, LLAMA, json!({"messages": messages, "stream": true}), "", "")
        .await;
    let Output::Chat(output) = &brought.finished().output else { panic!() };
    assert_eq!(output.text, "You said: hi \"you\"");
    let usage = brought.finished().usage;
    assert_eq!(
        (usage.input_tokens, usage.output_tokens, usage.media_ms, usage.estimated),
        (7, 3, 1_250, false)
    );
    assert_eq!(shown(&brought), output.text);
    let paths = vendor.paths();
    let asked = format!("/replicate/v1/models/{LLAMA}/predictions");
    assert_eq!(paths[..2], [asked, "/replicate/streams".to_owned()]);
    assert_eq!(paths.len(), 3, "one question tells how it ended: {paths:?}");
}

/// What was shown of an answer, in however many pieces.
fn shown(brought: &Brought) -> String {
    let texts = brought.pieces.iter().filter_map(|piece| match piece {
        Progress::Delta(delta) => Some(delta.delta.as_str()),
        _ => None,
    });
    texts.collect()
}

async fn streamed(vendor: &Vendor, prompt: &str, media: &str) -> Brought {
    let payload = json!({"messages": [{"role": "user", "content": prompt}], "stream": true});
    vendor.call(Action::ChatCompletion, LLAMA, payload, "", media).await
}

#[tokio::test]
async fn what_a_stream_does_not_show_is_told_at_the_end() {
    let vendor = vendor().await;
    // White space is a part of it.
    for media in ["stream=torn", "stream=gone", "stream=none", ""] {
        let brought = streamed(&vendor, "a\n\nb ", media).await;
        assert_eq!(shown(&brought), "You said: a\n\nb ", "{media}");
        let Output::Chat(output) = &brought.finished().output else { panic!() };
        assert_eq!(output.text, "You said: a\n\nb ", "{media}");
        assert_eq!(brought.finished().usage.output_tokens, 3, "{media}");
    }
}

#[tokio::test]
async fn a_stream_of_work_that_fails_is_told_as_that() {
    let vendor = vendor().await;
    let brought = streamed(&vendor, "x", "failed").await;
    assert_eq!(shown(&brought), "You");
    brought.failed(ProviderError, FallBack, "ended as `failed`: CUDA out of memory");
    let brought = streamed(&vendor, "x", "elsewhere").await;
    brought.failed(ProviderError, FallBack, "`http://localhost`, where its file allows nothing (`hosts`)");
}

#[tokio::test]
async fn a_stream_that_is_elsewhere_is_watched_without_the_key() {
    let vendor = vendor().await;
    let payload = json!({"messages": [{"role": "user", "content": "x"}], "stream": true});
    let edits = [("\"replicate.com\"", "\"localhost\"")];
    let call = call(Action::ChatCompletion, LLAMA, payload, PATIENCE);
    let brought = vendor.call_edited(&edits, call, "", "elsewhere").await;
    assert_eq!(shown(&brought), "You said: x");
    let calls = vendor.calls.snapshot().entries;
    let watched = calls.iter().find(|call| call.path == "/replicate/streams").unwrap();
    assert_eq!(watched.authorization, None);
}

#[tokio::test]
async fn a_model_that_only_the_configuration_names_is_called_by_its_action() {
    let vendor = vendor().await;
    let models = json!({"models": {"sdxl": {"upstream": "stability-ai/sdxl", "action": "image.generate"}}});
    let adapter = vendor.adapter("replicate", "", "polls=0", models);
    let call = call(Action::ImageGenerate, "stability-ai/sdxl", json!({"prompt": "x"}), PATIENCE);
    assert_eq!(brought(&*adapter, call).await.finished().model, "stability-ai/sdxl");
    assert_eq!(vendor.paths()[0], "/replicate/v1/models/stability-ai/sdxl/predictions");
}

#[tokio::test]
async fn its_errors_are_understood() {
    let vendor = vendor().await;
    let rows = [
        ("status=401", "", ProviderError, DisableKey(Rejected), "rejected our key"),
        ("status=402", "", ProviderError, DisableKey(Spent), "insufficient credit"),
        ("status=404", "", NotFound, FallBack, "could not be found"),
        ("status=422", "", InvalidRequest, Fatal, "The request was refused."),
        ("status=429,retry-after=1", "", RateLimited, Throttle, "Expected available in 1 second"),
        ("status=500", "", ProviderUnavailable, Retry, "Something went wrong"),
        ("", "failed,polls=1", ProviderError, FallBack, "ended as `failed`: CUDA out of memory"),
        ("", "failed,withheld,polls=1", InvalidRequest, Fatal, "withheld the answer as unsafe: NSFW"),
        ("", "state=booting", ProviderError, FallBack, "`booting`"),
        ("", "expired,polls=0", ProviderError, FallBack, "not any more"),
    ];
    for (sim, media, code, remedy, words) in rows {
        let brought = vendor.call(Action::ImageGenerate, FLUX, json!({"prompt": "x"}), sim, media).await;
        brought.failed(code, remedy, words);
        if sim.contains("retry-after") {
            assert_eq!(brought.error().retry_after, Some(Duration::from_secs(1)));
        }
    }
}
