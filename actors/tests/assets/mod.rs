//! The files that providers make: kept whole, told as they come, and taken away where their call broke off.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use broker::{Objects, Seams};
use futures_util::TryStreamExt;
use schemas::{Action, AssetRecord, ErrorCode, Event, EventBody, MediaOutput, Outcome, Output, Status};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{ASSET_BYTES_MAX, Engine, asset_limits};

const STREAM: &str = "OBJ_DYNODE_ASSETS";

async fn paint(engine: &Engine, id: &str, more: Value) {
    let mut payload = json!({"model": "image", "prompt": "a cat", "size": "64x64"});
    payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    engine.publish("acme", Action::ImageGenerate, json!({"id": id, "payload": payload})).await;
}

fn media(outcome: &Outcome) -> &MediaOutput {
    match &outcome.output {
        Some(Output::Media(media)) => media,
        _ => panic!("{outcome:?}"),
    }
}

/// How many messages the store holds: the pieces and the description of each file.
async fn held(engine: &Engine) -> u64 {
    engine.broker().subjects(STREAM, ">").await.unwrap().iter().map(|(_, messages)| messages).sum()
}

async fn store(engine: &Engine) -> Objects {
    let spec = engine.topology().assets(&asset_limits());
    Objects::open(engine.broker(), spec, Seams::system()).await.unwrap()
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.body.name()).collect()
}

#[tokio::test(start_paused = true)]
async fn images_are_kept_told_and_found_in_the_outcome() {
    let engine = Engine::start().await;
    paint(&engine, "i", json!({"n": 2, "size": "512x512"})).await;
    let outcome = engine.outcome("acme", "i").await;
    let assets = &media(&outcome).assets;
    assert_eq!((assets.len(), outcome.usage.images, outcome.status), (2, 2, Status::Succeeded));
    let events = engine.events("acme", "i").await;
    assert_eq!(names(&events), ["queued", "running", "artifact", "artifact", "complete"]);
    let told = events.iter().filter_map(|event| match &event.body {
        EventBody::Artifact { data } => Some(data),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), assets.iter().collect::<Vec<_>>());
    let store = store(&engine).await;
    for asset in assets {
        assert_eq!(
            (asset.media_type.as_str(), &asset.url),
            ("image/png", &format!("/v1/assets/{}", asset.id))
        );
        let info = store.info(&asset.id).await.unwrap().unwrap();
        let pieces: Vec<_> = store.read(&info, 0..u64::MAX).try_collect().await.unwrap();
        let content = pieces.concat();
        let sha256: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((sha256, content.len() as u64), (asset.sha256.clone(), asset.bytes));
        let record: AssetRecord = serde_json::from_str(info.note()).unwrap();
        assert_eq!((record.tenant.as_str(), record.request.as_str(), &record.asset), ("acme", "i", asset));
        assert_eq!((record.provider.as_str(), record.prompt_sha256.len()), ("sim", 64));
    }
}

#[tokio::test(start_paused = true)]
async fn speech_is_kept_as_what_it_is() {
    let engine = Engine::start().await;
    let payload = json!({"model": "speech", "input": "Hello"});
    engine.publish("acme", Action::AudioSynthesize, json!({"id": "s", "payload": payload})).await;
    let outcome = engine.outcome("acme", "s").await;
    let [asset] = media(&outcome).assets.as_slice() else { panic!("{outcome:?}") };
    assert_eq!((asset.media_type.as_str(), outcome.usage.characters), ("audio/wav", 5));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_breaks_off_leaves_nothing_and_its_retry_has_the_same_ids() {
    let engine = Engine::start().await;
    let broken = json!({"n": 2, "simulate": {"fail": "provider_unavailable", "after_tokens": 1, "times": 1}});
    paint(&engine, "b", broken).await;
    let outcome = engine.outcome("acme", "b").await;
    assert_eq!(outcome.status, Status::Succeeded, "{outcome:?}");
    let events = engine.events("acme", "b").await;
    let expected =
        ["queued", "running", "artifact", "restarted", "running", "artifact", "artifact", "complete"];
    assert_eq!(names(&events), expected);
    engine.settled().await;
    assert_eq!(held(&engine).await, 4, "a piece and a description of each");
    let store = store(&engine).await;
    for asset in &media(&outcome).assets {
        assert!(
            store.info(&asset.id).await.unwrap().is_some(),
            "what the first call took away was the second's"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_in_the_middle_leaves_nothing() {
    let engine = Engine::start().await;
    paint(&engine, "c", json!({"n": 2, "simulate": {"stall_after_tokens": 1}})).await;
    engine.event("acme", "c", "artifact").await;
    assert_eq!(held(&engine).await, 2);
    engine.cancel("acme", "c").await;
    assert_eq!(engine.outcome("acme", "c").await.status, Status::Cancelled);
    engine.settled().await;
    assert_eq!(held(&engine).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_file_over_the_limit_fails_its_request_and_leaves_nothing() {
    let engine = Engine::start().await;
    paint(&engine, "large", json!({"size": "1024x1024"})).await;
    let error = engine.outcome("acme", "large").await.error.unwrap();
    assert_eq!((error.code, error.retryable), (ErrorCode::TooLarge, false));
    assert!(error.message.contains(&ASSET_BYTES_MAX.to_string()), "{error}");
    engine.settled().await;
    assert_eq!(held(&engine).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_store_fails_what_is_new_and_keeps_what_it_has() {
    let engine = Engine::start().await;
    let mut first = None;
    for number in 0..10 {
        let id = format!("f{number}");
        paint(&engine, &id, json!({"n": 10, "size": "512x512"})).await;
        let outcome = engine.outcome("acme", &id).await;
        if let Some(error) = &outcome.error {
            assert_eq!(error.code, ErrorCode::Internal);
            assert!(error.message.contains("assets.store_bytes_max"), "{error}");
            assert_eq!(outcome.attempts.len(), 1, "what was paid for is not paid for again");
            let first: Outcome = first.unwrap();
            let asset = &media(&first).assets[0];
            assert!(store(&engine).await.info(&asset.id).await.unwrap().is_some());
            return;
        }
        first.get_or_insert(outcome);
    }
    panic!("the store is never full");
}
