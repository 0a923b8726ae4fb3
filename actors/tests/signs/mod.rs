//! What an engine tells of itself: heartbeats, and when publishers should wait.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so by panicking")]

use std::time::Duration;

use broker::Subscription;
use futures_util::StreamExt;
use schemas::{Action, Backpressure, ErrorCode, Flow, Heartbeat, Status};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Engine, chat};

/// More than the sixteen slots of the pool take at once, ten seconds each.
const FLOOD: usize = 100;

async fn next<T: DeserializeOwned>(messages: &mut Subscription) -> T {
    let message = tokio::time::timeout(Duration::from_secs(60), messages.next()).await;
    let message = message.expect("nothing was said").unwrap();
    message.format().decode(&message.payload).unwrap()
}

async fn flood(engine: &Engine) {
    let slow = json!({"stream": true, "simulate": {"tokens": 100, "tokens_per_second": 10}});
    for number in 0..FLOOD {
        engine.publish("acme", Action::ChatCompletion, chat(&format!("r{number}"), slow.clone())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_pool_beats_and_says_what_it_is_at() {
    let engine = Engine::start().await;
    let mut beats = engine.listen("hb").await;
    flood(&engine).await;
    let mut pools = std::collections::BTreeMap::<String, Vec<Heartbeat>>::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(30) {
        let beat: Heartbeat = next(&mut beats).await;
        pools.entry(beat.worker.clone()).or_default().push(beat);
    }
    assert_eq!(pools.keys().collect::<Vec<_>>(), ["classifier", "delivery", "fragile", "sim"]);
    for (pool, beats) in &pools {
        assert!((14..=17).contains(&beats.len()), "{pool}: {} in 30 s, one every two", beats.len());
    }
    let sim: Vec<_> =
        pools["sim"].iter().map(|beat| (beat.slots, beat.inflight, beat.queue.unwrap_or(0))).collect();
    assert!(sim.contains(&(16, 16, 84)) && sim.contains(&(16, 16, 68)), "{sim:?}");
    let last = pools["sim"].last().unwrap();
    assert!((9_000.0..12_000.0).contains(&last.average_job_ms), "{last:?}");
    assert!(last.connected && last.last_progress_ms < 1_000, "{last:?}");
    let idle = pools["delivery"].last().unwrap();
    assert_eq!((idle.inflight, idle.last_progress_ms), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_slow_work_asks_for_a_pause_and_its_end_for_more() {
    let engine = Engine::start().await;
    engine.settled().await;
    let mut signals = engine.listen("sig").await;
    flood(&engine).await;
    let mut said = Vec::<Backpressure>::new();
    while said.last().is_none_or(|last| last.state == Flow::Pause) {
        said.push(next(&mut signals).await);
    }
    assert!(said.iter().all(|signal| signal.pool == "sim"), "{said:?}");
    let pauses: Vec<_> = said.iter().filter(|signal| signal.state == Flow::Pause).collect();
    assert!(pauses.len() > 5, "it is repeated with each beat: {said:?}");
    for pause in &pauses {
        assert!(pause.retry_after_ms.is_some_and(|wait| wait >= 1_000), "{pause:?}");
        assert!(pause.estimated_wait_ms.is_some_and(|wait| wait >= 2_000), "{pause:?}");
    }
    assert!(said.last().unwrap().estimated_wait_ms < Some(2_000), "{said:?}");
    let changes = said.windows(2).filter(|pair| pair[0].state != pair[1].state).count();
    assert_eq!(changes, 1, "one pause, one resume: {said:?}");
}

#[tokio::test(start_paused = true)]
async fn the_estimate_is_about_what_really_happens() {
    let engine = Engine::start().await;
    flood(&engine).await;
    // The first jobs have ended by then, and their time is known.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let mut signals = engine.listen("sig").await;
    let estimated = loop {
        let signal: Backpressure = next(&mut signals).await;
        if signal.pool == "sim" {
            break signal.estimated_wait_ms.unwrap();
        }
    };
    let asked = Instant::now();
    engine.publish("acme", Action::ChatCompletion, chat("late", json!({}))).await;
    engine.event("acme", "late", "running").await;
    let real = u64::try_from(asked.elapsed().as_millis()).unwrap();
    assert!(real > 30_000 && real.abs_diff(estimated) < real / 4, "estimated {estimated} ms, was {real} ms");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_expired_before_it_is_classified_ends_at_once() {
    let mut engine = Engine::start().await;
    let mut request = chat("late", json!({}));
    request["deadline_ms"] = 1_500.into();
    engine.stop(Duration::ZERO).await;
    engine.publish("acme", Action::ChatCompletion, request).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    engine.start_again().await;
    let outcome = engine.outcome("acme", "late").await;
    assert_eq!((outcome.status, outcome.attempts.len()), (Status::Expired, 0));
    assert_eq!(outcome.error.map(|error| error.code), Some(ErrorCode::DeadlineExceeded));
    let names: Vec<_> = engine.events("acme", "late").await.iter().map(|event| event.body.name()).collect();
    assert_eq!(names, ["fail"], "no place in a queue, no worker");
}
