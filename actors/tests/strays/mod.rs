//! Work of a provider that no engine has.

use std::time::Duration;

use schemas::{ErrorCode, Status};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::support::Engine;

/// That of what is put into a queue here.
const DEADLINE: Duration = Duration::from_secs(600);
/// Longer than the time of a lease, the time between two looks, and five beats.
const LATER: Duration = Duration::from_secs(65);

#[tokio::test(start_paused = true)]
async fn work_whose_provider_no_engine_has_waits_for_one_and_ends_by_its_deadline() {
    let engine = Engine::start().await;
    engine.enqueue_for("elsewhere", "acme", "stray").await;
    sleep(DEADLINE).await;
    assert!(!engine.has_ended("acme", "stray").await, "whoever has the provider may still end it");
    sleep(LATER).await;
    let outcome = engine.outcome("acme", "stray").await;
    let error = outcome.error.as_ref().map(|error| (error.code, error.message.contains("`elsewhere`")));
    assert_eq!((outcome.status, error), (Status::Expired, Some((ErrorCode::DeadlineExceeded, true))));
    assert!(outcome.attempts.is_empty(), "nobody was called: {outcome:?}");
    let last = engine.events("acme", "stray").await.last().map(|event| event.body.kind().is_terminal());
    assert_eq!((last, engine.work_kept().await), (Some(true), 0));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_heeded_by_then() {
    let engine = Engine::start().await;
    engine.enqueue_for("elsewhere", "acme", "unwanted").await;
    engine.cancel("acme", "unwanted").await;
    sleep(DEADLINE + LATER).await;
    assert_eq!(engine.outcome("acme", "unwanted").await.status, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_stands_is_not_touched() {
    let engine = Engine::start().await;
    engine.enqueue("acme", "ended").await;
    let outcome = engine.outcome("acme", "ended").await;
    engine.enqueue_for("elsewhere", "acme", "ended").await;
    sleep(DEADLINE + LATER).await;
    assert_eq!(engine.work_kept().await, 0);
    assert_eq!(engine.outcome("acme", "ended").await, outcome);
}

#[tokio::test(start_paused = true)]
async fn the_work_of_a_provider_that_another_engine_has_is_left_to_it() {
    let engine = Engine::start().await;
    engine.enqueue_for("elsewhere", "acme", "busy").await;
    let beats = async {
        loop {
            engine.say("dynode.hb.n9.elsewhere", &json!({})).await;
            sleep(Duration::from_secs(2)).await;
        }
    };
    assert!(timeout(DEADLINE + LATER, beats).await.is_err());
    assert!(!engine.has_ended("acme", "busy").await);
    sleep(LATER).await;
    assert_eq!(engine.outcome("acme", "busy").await.status, Status::Expired, "it beats no more");
}
