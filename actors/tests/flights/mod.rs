//! Requests that ask the same at once share one call, where their senders want that.

use std::time::Duration;

use adapters::Remedy;
use schemas::{Action, EventBody, Outcome, Output, Status, Usage};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{
    Engine, chat,
    scripted::{self, Said, Scripted, USED},
};

const ASKED: [&str; 4] = ["r1", "r2", "r3", "r4"];

/// Asks the same under each id, for `tenant`.
async fn ask(engine: &Engine, tenant: &str, ids: &[&str], payload: &Value) {
    for id in ids {
        let mut request = chat(id, payload.clone());
        request["route"] = json!({"single_flight": true});
        engine.publish(tenant, Action::ChatCompletion, request).await;
    }
}

async fn outcomes(engine: &Engine, ids: &[&str]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for id in ids {
        outcomes.push(engine.outcome("acme", id).await);
    }
    outcomes
}

fn question() -> Value {
    json!({"model": "m", "stream": true, "temperature": 0})
}

fn text(outcome: &Outcome) -> &str {
    match outcome.output.as_ref() {
        Some(Output::Chat(answer)) => &answer.text,
        _ => panic!("{outcome:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_call_answers_all_who_ask_the_same() {
    let provider = Scripted::new("one", [Said::text("an answer").after(500)]);
    let engine = scripted::engine(&[&provider]).await;
    ask(&engine, "acme", &ASKED, &question()).await;
    let outcomes = outcomes(&engine, &ASKED).await;
    assert_eq!(provider.asked().len(), 1);
    assert!(outcomes.iter().all(|outcome| text(outcome) == "an answer"), "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| outcome.provider.as_deref() == Some("one")), "{outcomes:?}");
    let used = outcomes.iter().fold(Usage::default(), |sum, outcome| sum.plus(&outcome.usage));
    assert_eq!(used, USED, "who was handed the answer used nothing");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.attempts.is_empty()).count(), ASKED.len() - 1);
    for id in ASKED {
        let events = engine.events("acme", id).await;
        let shown = events.iter().filter_map(|event| match &event.body {
            EventBody::ChatDelta(delta) => Some(delta.delta.as_str()),
            _ => None,
        });
        assert_eq!(shown.collect::<String>(), "an answer", "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_shared_with_another_question_or_another_tenant_or_without_a_wish() {
    let provider = Scripted::new("one", [Said::text("an answer").after(500)]);
    let engine = scripted::engine(&[&provider]).await;
    ask(&engine, "acme", &["r1"], &question()).await;
    ask(&engine, "acme", &["r2"], &json!({"model": "m", "stream": true, "seed": 7})).await;
    ask(&engine, "bolt", &["r3"], &question()).await;
    engine.publish("acme", Action::ChatCompletion, chat("r4", question())).await;
    outcomes(&engine, &["r1", "r2", "r4"]).await;
    engine.outcome("bolt", "r3").await;
    assert_eq!(provider.asked().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_nobody_elses_end() {
    let fatal = Said::failure(Remedy::Fatal).after(500);
    let provider = Scripted::new("one", [fatal, Said::text("an answer").after(500)]);
    let engine = scripted::engine(&[&provider]).await;
    ask(&engine, "acme", &ASKED, &question()).await;
    let outcomes = outcomes(&engine, &ASKED).await;
    let failed = outcomes.iter().filter(|outcome| outcome.status == Status::Failed).count();
    assert_eq!((failed, provider.asked().len()), (1, 2), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn where_the_one_who_calls_is_cancelled_the_next_one_calls() {
    let provider = Scripted::new("one", [Said::text("an answer").after(2_000)]);
    let engine = scripted::engine(&[&provider]).await;
    ask(&engine, "acme", &["r1"], &question()).await;
    while provider.asked().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    ask(&engine, "acme", &["r2", "r3"], &question()).await;
    engine.cancel("acme", "r1").await;
    let outcomes = outcomes(&engine, &["r1", "r2", "r3"]).await;
    let statuses: Vec<_> = outcomes.iter().map(|outcome| outcome.status).collect();
    assert_eq!(statuses, [Status::Cancelled, Status::Succeeded, Status::Succeeded]);
    assert_eq!((provider.asked().len(), provider.cancelled()), (2, 1));
}
