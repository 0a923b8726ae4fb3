//! What depends on the calls before: faults that wear off, rate limits, and the log that tells of both.

use chaos::provider::{Behaviour, CallOutcome, Config};
use serde_json::{Value, json};

use crate::client::{Sim, start};

const CHAT: &str = "/v1/chat/completions";

fn body(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}]})
}

async fn statuses(sim: &Sim, headers: &[(&str, &str)], model: &str, calls: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..calls {
        statuses.push(sim.post(CHAT, headers, &body(model)).await.status.as_u16());
    }
    statuses
}

#[tokio::test]
async fn a_fault_wears_off_for_each_key_on_its_own() {
    let sim = Sim::start().await;
    let model = "sim:500,times=2";
    assert_eq!(statuses(&sim, &[("idempotency-key", "a")], model, 3).await, [500, 500, 200]);
    assert_eq!(statuses(&sim, &[("idempotency-key", "b")], model, 3).await, [500, 500, 200]);
    assert_eq!(statuses(&sim, &[("x-sim-key", "c")], model, 3).await, [500, 500, 200]);
    assert_eq!(statuses(&sim, &[], model, 3).await, [500, 500, 200]);
    assert_eq!(statuses(&sim, &[], "sim:503,times=1", 2).await, [503, 200], "another model counts anew");
}

#[tokio::test]
async fn calls_above_the_rate_are_refused_and_noted() {
    let sim = Sim::start().await;
    assert_eq!(statuses(&sim, &[], "sim:rpm=2", 4).await, [200, 200, 429, 429]);
    let refused = sim.post(CHAT, &[], &body("sim:rpm=2")).await;
    assert_eq!(refused.error().0.as_deref(), Some("rate_limit_exceeded"));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-ratelimit-limit-requests"), "2");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    assert!(refused.header("x-ratelimit-reset-requests").ends_with('s'));
    let calls = sim.ended().await;
    let violations = calls.iter().filter(|call| call.outcome == CallOutcome::RateLimited).count();
    assert_eq!(violations, 3);
}

#[tokio::test]
async fn the_rate_of_the_configuration_holds_for_each_model() {
    let behaviour = Behaviour { rpm: Some(1), ..Behaviour::default() };
    let sim = Sim::with(Config { behaviour, ..Config::default() }).await;
    assert_eq!(statuses(&sim, &[], "sim", 2).await, [200, 429]);
    assert_eq!(statuses(&sim, &[], "sim:tokens=1", 1).await, [200]);
}

#[tokio::test]
async fn the_log_holds_what_arrived_and_can_be_emptied() {
    let sim = Sim::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("idempotency-key", "k1"), ("traceparent", trace), ("authorization", "Bearer secret")];
    sim.post(CHAT, &headers, &body("sim")).await;
    let log = sim.get("/_sim/calls").await.json();
    let call = &log["entries"][0];
    assert_eq!((&call["path"], &call["model"]), (&json!(CHAT), &json!("sim")));
    assert_eq!((&call["idempotency_key"], &call["traceparent"]), (&json!("k1"), &json!(trace)));
    assert_eq!((&call["status"], &call["outcome"]), (&json!(200), &json!("answered")));
    assert_eq!(call["authorization"].as_str().unwrap().len(), 16);
    assert_eq!(log["forgotten"], 0);
    let delete = hyper::Request::delete("/_sim/calls").body(Default::default()).unwrap();
    assert_eq!(crate::client::send(sim.address, delete).await.status(), 204);
    assert_eq!(sim.get("/_sim/calls").await.json()["entries"], json!([]));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_noted() {
    let sim = Sim::start().await;
    let slow = body("sim:first=1m").to_string();
    let waiting = tokio::spawn(async move { start(sim.address, CHAT, &[], slow).await.status() });
    let arrived = sim.calls.wait_until(|calls| !calls.is_empty()).await;
    assert_eq!(arrived[0].outcome, CallOutcome::InProgress);
    waiting.abort();
    assert!(waiting.await.is_err());
    let call = sim.ended().await.remove(0);
    assert_eq!((call.outcome, call.status), (CallOutcome::ClientGone, None));
}

#[tokio::test]
async fn the_time_of_a_behaviour_is_kept() {
    let sim = Sim::start().await;
    for streamed in [false, true] {
        let start = tokio::time::Instant::now();
        sim.chat("sim-40ms:gap=10ms,tokens=5", streamed).await;
        assert!(start.elapsed().as_millis() >= 80, "streamed: {streamed}, {:?}", start.elapsed());
    }
}
