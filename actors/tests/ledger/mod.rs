//! What a request has used is written into the ledger: once, whoever concludes it and however often, and as its outcome
//! says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{collections::BTreeMap, time::Duration};

use actors::ProviderLimits;
use adapters::Registry;
use broker::{ErrorKind, Limits, memory::Fault};
use schemas::{Action, ErrorCode, LedgerEntry, Outcome, Status, Usage};
use serde_json::{Value, json};

use crate::support::{Engine, chat};

/// Everything that the ledger is told.
const LEDGER: &str = "dynode.use.>";
/// By then other streams have forgotten which messages they know.
const LONG: Duration = Duration::from_secs(600);

/// A provider with a price, and one without.
async fn engine() -> Engine {
    engine_with(Limits::default()).await
}

async fn engine_with(limits: Limits) -> Engine {
    let priced = json!({"price": {"input": 1_000_000, "output": 1_000_000}});
    let table = json!({
        "a": {"kind": "simulated", "models": {"fast": priced}},
        "sim": {"kind": "simulated", "models": {"fast": {}}},
    });
    let registry = Registry::build(&serde_json::from_value(table).unwrap()).unwrap();
    let of_each = ProviderLimits { concurrency: 4, ..ProviderLimits::default() };
    let providers = BTreeMap::from(["a", "sim"].map(|name| (name.to_owned(), of_each)));
    Engine::with_providers(registry, providers, limits).await
}

async fn ask(engine: &Engine, id: &str, more: Value) -> Outcome {
    engine.publish("acme", Action::ChatCompletion, chat(id, more)).await;
    engine.outcome("acme", id).await
}

/// The one entry, which says of every call what the outcome says.
#[track_caller]
fn only(entries: &[LedgerEntry], outcome: &Outcome) -> LedgerEntry {
    let [entry] = entries else { panic!("not one entry: {entries:#?}") };
    assert_eq!(Some(entry), LedgerEntry::of(outcome).as_ref());
    let used = entry.lines.iter().fold(Usage::default(), |sum, line| sum.plus(&line.usage));
    let costs: Vec<_> = entry.lines.iter().filter_map(|line| line.cost_usd).collect();
    assert_eq!(used, outcome.usage, "nothing is left out");
    assert_eq!((!costs.is_empty()).then(|| costs.iter().sum::<f64>()), outcome.cost_usd);
    entry.clone()
}

#[tokio::test(start_paused = true)]
async fn every_call_of_a_request_is_a_line_of_its_entry() {
    let engine = engine().await;
    let breaks = json!({"fail": "provider_unavailable", "after_tokens": 2, "times": 1});
    let mut request = chat("r", json!({"model": "a/fast", "stream": true, "simulate": breaks}));
    request["session"] = json!("s");
    engine.publish("acme", Action::ChatCompletion, request).await;
    let outcome = engine.outcome("acme", "r").await;
    engine.settled().await;
    let entry = only(&engine.ledger().await, &outcome);
    assert_eq!((entry.lines.len(), entry.session.unwrap().as_str()), (2, "s"), "{:#?}", entry.lines);
    assert!(outcome.cost_usd.is_some_and(|cost| cost > 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_cut_off_has_its_line() {
    let engine = engine().await;
    let stalls = json!({"model": "a/fast", "stream": true, "simulate": {"stall_after_tokens": 2}});
    engine.publish("acme", Action::ChatCompletion, chat("r", stalls)).await;
    engine.event("acme", "r", "chat.delta").await;
    engine.cancel("acme", "r").await;
    let outcome = engine.outcome("acme", "r").await;
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(outcome.attempts[0].error.as_ref().unwrap().code, ErrorCode::Cancelled);
    engine.settled().await;
    let entry = only(&engine.ledger().await, &outcome);
    assert!(entry.lines[0].usage.estimated && entry.lines[0].cost_usd.is_some(), "{entry:#?}");
}

#[tokio::test(start_paused = true)]
async fn who_called_nobody_has_no_entry() {
    let engine = engine().await;
    assert_eq!(ask(&engine, "r", json!({"model": "nobody"})).await.status, Status::Failed);
    engine.settled().await;
    assert_eq!(engine.ledger().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_conclusion_that_is_repeated_writes_nothing_twice() {
    let mut engine = engine().await;
    let outcome = ask(&engine, "r", json!({})).await;
    engine.settled().await;
    only(&engine.ledger().await, &outcome);
    for wait in [Duration::ZERO, LONG] {
        tokio::time::sleep(wait).await;
        engine.stop(Duration::ZERO).await;
        // Its work is there again, as after a worker that died before its ack.
        engine.enqueue("acme", "r").await;
        engine.lose_deliveries("acme", 1).await;
        engine.start_again().await;
        engine.settled().await;
        assert_eq!(engine.work_held().await, 0, "it was concluded again");
        only(&engine.ledger().await, &outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_its_worker_could_not_write_is_written_by_the_next() {
    let mut engine = engine().await;
    let deaf = engine.fail(LEDGER, Fault::Refuse(ErrorKind::Timeout));
    let outcome = ask(&engine, "r", json!({})).await;
    engine.event("acme", "r", "chat.complete").await;
    assert_eq!(engine.ledger().await, [], "its end is told before");
    engine.stop(Duration::ZERO).await;
    engine.heal(deaf);
    engine.start_again().await;
    engine.settled().await;
    only(&engine.ledger().await, &outcome);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_is_lost_makes_no_second_entry() {
    let engine = engine().await;
    let lossy = engine.fail(LEDGER, Fault::LoseAck);
    let outcome = ask(&engine, "r", json!({})).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    engine.heal(lossy);
    engine.settled().await;
    only(&engine.ledger().await, &outcome);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_used_again_when_its_outcome_is_forgotten_is_another_entry() {
    let limits = Limits { outcomes_age: LONG, ..Limits::default() };
    let engine = engine_with(limits).await;
    ask(&engine, "r", json!({})).await;
    engine.settled().await;
    tokio::time::sleep(2 * LONG).await;
    ask(&engine, "r", json!({})).await;
    engine.settled().await;
    let entries = engine.ledger().await;
    assert_eq!(entries.len(), 2, "{entries:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_ledger_forgets_its_oldest_and_holds_up_nobody() {
    let engine = Engine::with_outcomes_of(50_000).await;
    for number in 0..400 {
        ask(&engine, &format!("r{number}"), json!({})).await;
    }
    engine.settled().await;
    let entries = engine.ledger().await;
    assert_eq!(entries.last().unwrap().id.as_str(), "r399");
    assert!(entries[0].id.as_str() != "r0", "the first is forgotten");
}

#[tokio::test(start_paused = true)]
async fn without_a_ledger_nothing_is_written() {
    let engine = Engine::without_ledger().await;
    assert_eq!(ask(&engine, "r", json!({})).await.status, Status::Succeeded);
    engine.settled().await;
    assert_eq!(engine.work_held().await, 0);
}
