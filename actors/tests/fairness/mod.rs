//! Who goes first when there is a queue.

use std::time::Duration;

use broker::memory::Fault;
use schemas::{Action, Status};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Engine, chat};

/// How long each job takes: the pool has 16 slots.
const JOB_MS: u64 = 1_000;

/// A request of one job's time.
fn job(id: &str, priority: &str) -> Value {
    let mut request = chat(id, json!({"simulate": {"first_token_ms": JOB_MS}}));
    request["priority"] = priority.into();
    request
}

async fn flood(engine: &Engine, tenant: &str, priority: &str, jobs: usize) {
    for number in 0..jobs {
        engine.publish(tenant, Action::ChatCompletion, job(&format!("{priority}-{number}"), priority)).await;
    }
    // The flood is under way when others come.
    sleep(Duration::from_millis(2_500)).await;
}

/// How long a request waited before it was worked on, in milliseconds.
async fn waited(engine: &Engine, tenant: &str, id: &str) -> u64 {
    let outcome = engine.outcome(tenant, id).await;
    assert_eq!(outcome.status, Status::Succeeded, "{outcome:?}");
    outcome.timings.queued_ms
}

#[tokio::test(start_paused = true)]
async fn a_flooding_tenant_does_not_make_another_wait() {
    let engine = Engine::start().await;
    flood(&engine, "flood", "standard", 400).await;
    for number in 0..3 {
        let id = format!("light-{number}");
        engine.publish("light", Action::ChatCompletion, job(&id, "standard")).await;
        let waited = waited(&engine, "light", &id).await;
        assert!(waited <= JOB_MS + 100, "until a slot is free, not until the flood is over: {waited} ms");
    }
    assert!(waited(&engine, "flood", "standard-399").await > 20_000, "it was a flood");
}

#[tokio::test(start_paused = true)]
async fn tenants_with_one_request_each_share_a_lane_in_which_no_flood_is() {
    let engine = Engine::start().await;
    flood(&engine, "flood", "standard", 400).await;
    for number in 0..40 {
        engine.publish(&format!("light{number}"), Action::ChatCompletion, job("one", "standard")).await;
    }
    sleep(Duration::from_millis(100)).await;
    let lanes = engine.work_by_lane().await;
    assert_eq!(lanes.keys().collect::<Vec<_>>(), ["own.flood", "shared"], "two consumers, not forty-one");
    for number in 0..40 {
        // Three rounds of all slots, of which the flood has as much as any other tenant.
        let waited = waited(&engine, &format!("light{number}"), "one").await;
        assert!(waited <= 3 * JOB_MS, "{waited} ms");
    }
    assert!(waited(&engine, "flood", "standard-399").await > 20_000, "it was a flood");
}

#[tokio::test(start_paused = true)]
async fn a_flood_that_comes_while_slots_are_free_is_in_its_own_lane_but_for_those() {
    let engine = Engine::start().await;
    // Slots are free until what was asked for has come.
    engine.fail("dynode.work.>", Fault::Delay(Duration::from_millis(50)));
    for number in 0..100 {
        engine.publish("flood", Action::ChatCompletion, job(&number.to_string(), "standard")).await;
    }
    sleep(Duration::from_millis(100)).await;
    let lanes = engine.work_by_lane().await;
    assert!(lanes["shared"] <= 17 && lanes["own.flood"] >= 83, "{lanes:?}");
}

#[tokio::test(start_paused = true)]
async fn two_floods_share_the_slots() {
    let engine = Engine::start().await;
    flood(&engine, "first", "standard", 320).await;
    flood(&engine, "second", "standard", 160).await;
    // 20 seconds of work for all slots, half of them from when it came.
    let waited = waited(&engine, "second", "standard-159").await;
    assert!((17_000..=23_000).contains(&waited), "{waited} ms");
}

#[tokio::test(start_paused = true)]
async fn who_is_waited_for_goes_first_and_the_rest_goes_on() {
    let engine = Engine::start().await;
    flood(&engine, "acme", "batch", 200).await;
    engine.publish("acme", Action::ChatCompletion, job("now", "interactive")).await;
    let waited_for = waited(&engine, "acme", "now").await;
    assert!(waited_for <= JOB_MS + 100, "{waited_for} ms");

    flood(&engine, "acme", "interactive", 640).await;
    // What is left of the batch, about 150 jobs, gets one grant of twenty beside 40 seconds of the others.
    let last = waited(&engine, "acme", "interactive-639").await;
    let done = done(&engine, 200).await;
    assert!((70..200).contains(&done), "{done} of the batch were done after {last} ms");
}

async fn done(engine: &Engine, jobs: usize) -> usize {
    let mut done = 0;
    for number in 0..jobs {
        done += usize::from(engine.has_ended("acme", &format!("batch-{number}")).await);
    }
    done
}

#[tokio::test(start_paused = true)]
async fn work_whose_bells_are_lost_is_found() {
    let engine = Engine::start().await;
    engine.deafen("dynode.bell.>").await;
    engine.publish("acme", Action::ChatCompletion, chat("quiet", json!({}))).await;
    let waited = waited(&engine, "acme", "quiet").await;
    assert!((1..=2_500).contains(&waited), "found by a look: {waited} ms");
}
