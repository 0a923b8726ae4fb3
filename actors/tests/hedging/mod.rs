//! A provider is silent, and the next is asked beside it: whoever shows something first is the answer.

use std::sync::Arc;

use actors::ProviderLimits;
use adapters::Remedy;
use schemas::{Action, ErrorCode, Event, EventBody, Outcome, Output, Status};
use serde_json::json;

use crate::support::{
    Engine, chat,
    scripted::{self, Said, Scripted, USED},
};

/// What comes of a streamed request that is hedged after half a second.
async fn ask(engine: &Engine, id: &str) -> (Outcome, Vec<Event>) {
    let mut request = chat(id, json!({"model": "m", "stream": true}));
    request["route"] = json!({"hedge_ms": 500});
    engine.publish("acme", Action::ChatCompletion, request).await;
    (engine.outcome("acme", id).await, engine.events("acme", id).await)
}

async fn race(first: &Arc<Scripted>, second: &Arc<Scripted>) -> (Outcome, Vec<Event>) {
    ask(&scripted::engine(&[first, second]).await, "r1").await
}

fn provider(name: &str, after_ms: u64) -> Arc<Scripted> {
    Scripted::new(name, [Said::text(name).after(after_ms)])
}

fn text(outcome: &Outcome) -> &str {
    match outcome.output.as_ref() {
        Some(Output::Chat(answer)) => &answer.text,
        _ => panic!("{outcome:?}"),
    }
}

fn running(events: &[Event]) -> Vec<&str> {
    let running = events.iter().filter_map(|event| match &event.body {
        EventBody::Running { provider, .. } => Some(provider.as_str()),
        _ => None,
    });
    running.collect()
}

fn reasons(outcome: &Outcome) -> Vec<(&str, Option<ErrorCode>)> {
    let reason = |error: &schemas::Error| error.code;
    let records = outcome.attempts.iter();
    records.map(|record| (record.provider.as_str(), record.error.as_ref().map(reason))).collect()
}

#[tokio::test(start_paused = true)]
async fn the_next_answers_where_the_first_is_silent() {
    let (first, second) = (provider("one", 9_000), provider("two", 100));
    let (outcome, events) = race(&first, &second).await;
    assert_eq!((text(&outcome), outcome.provider.as_deref()), ("two", Some("two")));
    assert!(outcome.timings.total_ms < 1_000, "{:?}", outcome.timings);
    assert_eq!(reasons(&outcome), [("one", Some(ErrorCode::Cancelled)), ("two", None)]);
    assert_eq!((first.cancelled(), second.cancelled()), (1, 0));
    assert_eq!(running(&events), ["one", "two"]);
    assert!(!events.iter().any(|event| event.body.name() == "restarted"), "{events:?}");
    let lost = &outcome.attempts[0].usage;
    assert!(lost.estimated && lost.input_tokens > 0 && lost.output_tokens == 0, "{lost:?}");
    assert_eq!(outcome.usage, lost.plus(&USED));
}

#[tokio::test(start_paused = true)]
async fn the_first_answers_where_it_is_quicker_after_all() {
    let (first, second) = (provider("one", 600), provider("two", 9_000));
    let (outcome, events) = race(&first, &second).await;
    assert_eq!((text(&outcome), outcome.provider.as_deref()), ("one", Some("one")));
    assert_eq!(reasons(&outcome), [("two", Some(ErrorCode::Cancelled)), ("one", None)]);
    assert_eq!((first.cancelled(), second.cancelled()), (0, 1));
    assert_eq!(running(&events), ["one"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_beside_who_is_quick_or_without_a_wish() {
    let (first, second) = (provider("one", 400), provider("two", 0));
    let (outcome, _) = race(&first, &second).await;
    assert_eq!((text(&outcome), second.asked().len()), ("one", 0));
    let (first, second) = (provider("one", 9_000), provider("two", 0));
    let engine = scripted::engine(&[&first, &second]).await;
    engine.publish("acme", Action::ChatCompletion, chat("r1", json!({"model": "m", "stream": true}))).await;
    assert_eq!((text(&engine.outcome("acme", "r1").await), second.asked().len()), ("one", 0));
}

#[tokio::test(start_paused = true)]
async fn where_one_of_them_fails_the_other_is_the_call() {
    let first = Scripted::new("one", [Said::failure(Remedy::Retry).after(600)]);
    let second = provider("two", 9_000);
    let (outcome, _) = race(&first, &second).await;
    assert_eq!((text(&outcome), first.asked().len(), second.asked().len()), ("two", 1, 1));
    assert_eq!(reasons(&outcome), [("one", Some(ErrorCode::ProviderUnavailable)), ("two", None)]);

    let first = provider("one", 9_000);
    let second = Scripted::new("two", [Said::failure(Remedy::Retry)]);
    let (outcome, _) = race(&first, &second).await;
    assert_eq!((text(&outcome), first.asked().len(), second.asked().len()), ("one", 1, 1));
    assert_eq!(reasons(&outcome), [("two", Some(ErrorCode::ProviderUnavailable)), ("one", None)]);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_is_one_of_the_tries_of_whoever_is_asked() {
    let first = Scripted::new("one", [Said::failure(Remedy::Retry).after(5_000)]);
    let second = Scripted::new("two", [Said::failure(Remedy::Retry)]);
    let (outcome, _) = race(&first, &second).await;
    assert_eq!(outcome.status, Status::Failed);
    assert_eq!(
        (first.asked().len(), second.asked().len()),
        (3, 3),
        "once and two retries, as without a hedge"
    );
    // It breaks off after it has won.
    let breaks = Scripted::new("two", [Said::text("tw").failing(Remedy::Retry)]);
    let (outcome, _) = race(&provider("one", 99_000), &breaks).await;
    assert_eq!((outcome.status, breaks.asked().len()), (Status::Failed, 3));
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_whoever_is_asked_hold() {
    let (first, second) = (provider("one", 2_000), provider("two", 100));
    let one_a_minute = ProviderLimits { requests_per_minute: Some(1), ..ProviderLimits::default() };
    let engine = scripted::engine_with(&[&first, &second], one_a_minute).await;
    let mut answers = Vec::new();
    for id in ["r1", "r2", "r3"] {
        answers.push(text(&ask(&engine, id).await.0).to_owned());
    }
    assert_eq!((answers, second.asked().len()), (vec!["two".into(), "one".into(), "one".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn of_a_provider_that_is_slow_as_a_rule_few_calls_are_hedged() {
    let (first, second) = (provider("one", 9_000), provider("two", 100));
    let engine = scripted::engine(&[&first, &second]).await;
    for number in 0..40 {
        ask(&engine, &format!("r{number}")).await;
    }
    assert!((10..=15).contains(&second.asked().len()), "{}", second.asked().len());
}

#[tokio::test(start_paused = true)]
async fn both_calls_are_recorded_where_the_request_is_cancelled() {
    let (first, second) = (provider("one", 9_000), provider("two", 9_000));
    let engine = scripted::engine(&[&first, &second]).await;
    let mut request = chat("r1", json!({"model": "m", "stream": true}));
    request["route"] = json!({"hedge_ms": 500});
    engine.publish("acme", Action::ChatCompletion, request).await;
    while second.asked().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    engine.cancel("acme", "r1").await;
    let outcome = engine.outcome("acme", "r1").await;
    assert_eq!(outcome.status, Status::Cancelled);
    let cancelled = Some(ErrorCode::Cancelled);
    assert_eq!(reasons(&outcome), [("one", cancelled), ("two", cancelled)]);
}
