//! A provider fails after some of its answer was shown: the answer begins anew, goes on, or fails, as the request says;
//! and every call has its price.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::BTreeMap;

use actors::ProviderLimits;
use adapters::Registry;
use schemas::{Action, ErrorCode, Event, Outcome, Output, Status};
use serde_json::{Value, json};

use crate::support::{Engine, chat, delta_text};

/// One provider, which breaks each first call after two words, and goes on where it is asked to.
async fn engine(model: Value) -> Engine {
    let table = json!({"sim": {"kind": "simulated", "models": {"m": model}}});
    let registry = Registry::build(&serde_json::from_value(table).unwrap()).unwrap();
    let limits = ProviderLimits { concurrency: 4, ..ProviderLimits::default() };
    Engine::with_providers(registry, BTreeMap::from([("sim".into(), limits)]), broker::Limits::default())
        .await
}

/// What is asked, broken once after two words; what came of it.
async fn ask(engine: &Engine, policy: &str) -> (Outcome, Vec<Event>) {
    let breaks = json!({"fail": "provider_unavailable", "after_tokens": 2, "times": 1});
    let mut request = chat("r1", json!({"model": "m", "stream": true, "simulate": breaks}));
    request["route"] = json!({"on_midstream_failure": policy});
    engine.publish("acme", Action::ChatCompletion, request).await;
    (engine.outcome("acme", "r1").await, engine.events("acme", "r1").await)
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.body.name()).collect()
}

/// What a reader shows at the end.
fn shown(events: &[Event]) -> String {
    let start = events.iter().rposition(|event| event.body.name() == "restarted").unwrap_or(0);
    events[start..].iter().filter_map(delta_text).collect()
}

fn text(outcome: &Outcome) -> &str {
    match outcome.output.as_ref().unwrap() {
        Output::Chat(chat) => &chat.text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_broke_off_begins_anew_and_readers_are_told() {
    let (outcome, events) = ask(&engine(json!({"continues": true})).await, "restart").await;
    assert_eq!(outcome.status, Status::Succeeded, "{outcome:?}");
    assert_eq!(names(&events).iter().filter(|name| **name == "restarted").count(), 1, "{events:?}");
    assert_eq!(shown(&events), text(&outcome));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_broke_off_goes_on_in_the_same_stream() {
    let (outcome, events) = ask(&engine(json!({"continues": true})).await, "continue").await;
    assert_eq!(outcome.status, Status::Succeeded, "{outcome:?}");
    assert!(!names(&events).contains(&"restarted"), "{events:?}");
    assert_eq!(names(&events).iter().filter(|name| **name == "running").count(), 2, "{events:?}");
    assert_eq!(shown(&events), text(&outcome));
    let whole = ask(&engine(json!({})).await, "restart").await.0;
    assert_eq!(text(&outcome), text(&whole), "nothing is missing and nothing stands twice");
}

#[tokio::test(start_paused = true)]
async fn where_nobody_goes_on_it_begins_anew() {
    let (outcome, events) = ask(&engine(json!({})).await, "continue").await;
    assert_eq!(outcome.status, Status::Succeeded, "{outcome:?}");
    assert!(names(&events).contains(&"restarted"), "{events:?}");
    assert_eq!(shown(&events), text(&outcome));
}

#[tokio::test(start_paused = true)]
async fn a_request_may_rather_fail_than_begin_anew() {
    let (outcome, events) = ask(&engine(json!({"continues": true})).await, "fail").await;
    assert_eq!(outcome.status, Status::Failed, "{outcome:?}");
    assert_eq!(outcome.error.unwrap().code, ErrorCode::ProviderUnavailable);
    assert_eq!(outcome.attempts.len(), 1);
    assert!(!names(&events).contains(&"restarted"), "{events:?}");
    assert_eq!(names(&events).last(), Some(&"fail"));
}

#[tokio::test(start_paused = true)]
async fn every_call_is_paid_for_those_that_broke_too() {
    let price = json!({"input": 1_000_000, "output": 1_000_000});
    let (outcome, _) = ask(&engine(json!({"price": price})).await, "restart").await;
    let [broken, whole] = &outcome.attempts[..] else { panic!("{outcome:?}") };
    assert!(broken.usage.estimated && broken.usage.output_tokens > 0, "{broken:?}");
    assert!(!whole.usage.estimated, "{whole:?}");
    let tokens = |usage: &schemas::Usage| (usage.input_tokens + usage.output_tokens) as f64;
    assert_eq!(broken.cost_usd, Some(tokens(&broken.usage)));
    assert_eq!(outcome.cost_usd, Some(tokens(&broken.usage) + tokens(&whole.usage)));
    assert_eq!(outcome.usage, broken.usage.plus(&whole.usage));
}
