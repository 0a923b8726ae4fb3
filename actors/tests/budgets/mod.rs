//! What tenants may spend: what a whole engine, and several, do where a budget comes to its end.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{collections::BTreeMap, time::Duration};

use actors::{BudgetConfig, ProviderLimits};
use adapters::{ProviderConfig, Registry};
use schemas::{Action, ErrorCode, Outcome, Status, Tenant};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Engine, chat};

/// What a call of `priced` may cost: five tokens that are read, and ten that are written.
const MOST: f64 = 0.015;
/// Longer than an engine keeps what it does not need.
const A_WHILE: Duration = Duration::from_secs(10);

/// A provider whose tokens cost a tenth of a cent each, with a model of each kind.
async fn engine(budgets: Value) -> Engine {
    let price = json!({"input": 1_000, "output": 1_000});
    let provider = |models: Value| -> ProviderConfig {
        serde_json::from_value(json!({"kind": "simulated", "models": models})).unwrap()
    };
    let configs = BTreeMap::from([
        (
            "alpha".to_owned(),
            provider(json!({
                "priced": {"price": price, "first_token_ms": 200},
                "slow": {"price": price, "first_token_ms": 5_000},
                "free": {},
            })),
        ),
        ("beta".to_owned(), provider(json!({"priced": {"price": price}}))),
    ]);
    let limits = ProviderLimits { concurrency: 64, ..ProviderLimits::default() };
    let providers = configs.keys().map(|name| (name.clone(), limits)).collect();
    Engine::with_budgets(Registry::build(&configs).unwrap(), providers, budgets).await
}

fn budget(tenant: &str, per: &str, usd: f64) -> Value {
    json!({"tenant": tenant, "per": per, "usd": usd})
}

async fn ask(engine: &Engine, tenant: &str, id: &str, model: &str) {
    let request = chat(id, json!({"model": model, "max_tokens": 10}));
    engine.publish(tenant, Action::ChatCompletion, request).await;
}

/// Asks so many times at once.
async fn ask_all(engine: &Engine, tenant: &str, name: &str, count: usize) -> Vec<Outcome> {
    let ids: Vec<_> = (0..count).map(|number| format!("{name}{number}")).collect();
    for id in &ids {
        ask(engine, tenant, id, "priced").await;
    }
    let mut outcomes = Vec::new();
    for id in &ids {
        outcomes.push(engine.outcome(tenant, id).await);
    }
    outcomes
}

fn cost(outcomes: &[Outcome]) -> f64 {
    let cost: f64 = outcomes.iter().filter_map(|outcome| outcome.cost_usd).sum();
    // What adding has made of it beyond a billionth is no money.
    (cost * 1e9).round() / 1e9
}

fn succeeded(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| outcome.status == Status::Succeeded).count()
}

/// Each that did not succeed was refused for its budget, before anybody was called.
fn check_refused(outcomes: &[Outcome]) {
    for outcome in outcomes.iter().filter(|outcome| outcome.status != Status::Succeeded) {
        let error = outcome.error.as_ref().unwrap();
        assert_eq!((error.code, error.retryable), (ErrorCode::BudgetExceeded, false), "{error}");
        assert!(outcome.attempts.is_empty() && outcome.cost_usd.is_none(), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_at_once_do_not_overrun_a_budget_and_what_they_did_not_need_is_there_for_the_next() {
    let engine = engine(json!([budget("acme", "day", 0.1)])).await;
    let mut outcomes = ask_all(&engine, "acme", "r", 40).await;
    check_refused(&outcomes);
    assert_eq!(succeeded(&outcomes), 6, "as many as may cost no more than that");
    for round in 0..10 {
        outcomes.extend(ask_all(&engine, "acme", &format!("s{round}"), 1).await);
        sleep(A_WHILE).await;
    }
    check_refused(&outcomes);
    let cost = cost(&outcomes);
    assert!(cost <= 0.1 && cost > 0.1 - MOST, "{cost}");
}

#[tokio::test(start_paused = true)]
async fn doors_refuse_what_would_be_refused_and_nothing_else() {
    let engine = engine(json!([budget("acme", "day", 0.05)])).await;
    let remaining = engine.remaining();
    let [acme, other] = ["acme", "other"].map(|tenant| Tenant::new(tenant).unwrap());
    assert!(remaining.is_bounded(&acme, None) && !remaining.is_bounded(&other, None));
    let check = async |cost_usd: f64| remaining.check(&acme, None, cost_usd).await;
    assert_eq!(check(0.05).await, Ok(()));
    assert!(check(0.051).await.is_err(), "more than all of it");
    let outcomes = ask_all(&engine, "acme", "r", 3).await;
    let left = 0.05 - cost(&outcomes);
    assert_eq!(check(0.049).await, Ok(()), "it is asked for every two seconds");
    sleep(A_WHILE).await;
    assert_eq!(check(left - 1e-6).await, Ok(()), "what is held for calls that have ended is free");
    let error = check(left + 1e-6).await.unwrap_err();
    assert_eq!((error.code, error.retryable), (ErrorCode::BudgetExceeded, false), "{error}");
    assert!(error.message.contains("of $0.050000 a day") && error.retry_after_ms.is_some(), "{error:?}");
    let raised: Vec<BudgetConfig> = serde_json::from_value(json!([budget("acme", "day", 1.0)])).unwrap();
    remaining.replace(&raised);
    assert_eq!(check(left + 1e-6).await, Ok(()), "it was raised");
}

#[tokio::test(start_paused = true)]
async fn engines_on_one_broker_share_a_budget() {
    let mut engine = engine(json!([budget("*", "day", 0.2)])).await;
    engine.start_beside().await;
    engine.start_beside().await;
    let mut outcomes = Vec::new();
    for round in 0..8 {
        outcomes.extend(ask_all(&engine, "acme", &format!("r{round}-"), 10).await);
        sleep(A_WHILE).await;
    }
    check_refused(&outcomes);
    let spent = cost(&outcomes);
    assert!(spent <= 0.2 && spent > 0.2 - 2.0 * MOST, "{spent}");
    let others = ask_all(&engine, "other", "r", 10).await;
    assert_eq!(succeeded(&others), 10, "each tenant has its own");
}

#[tokio::test(start_paused = true)]
async fn every_budget_of_a_tenant_holds_and_the_next_provider_is_not_asked() {
    let engine = engine(json!([budget("acme", "hour", 0.05), budget("*", "day", 0.03)])).await;
    let outcomes = ask_all(&engine, "acme", "r", 3).await;
    check_refused(&outcomes);
    assert_eq!(succeeded(&outcomes), 2);
    let error = outcomes.iter().find_map(|outcome| outcome.error.as_ref()).unwrap();
    assert!(error.message.contains("`acme`") && error.message.contains("of $0.030000 a day"), "{error}");
    assert!(error.message.contains("begins anew at 1970-01-02T00:00:00Z"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_budget_begins_anew_with_its_period() {
    let engine = engine(json!([budget("acme", "hour", MOST)])).await;
    assert_eq!(succeeded(&ask_all(&engine, "acme", "r", 1).await), 1);
    let refused = ask_all(&engine, "acme", "s", 1).await;
    check_refused(&refused);
    let wait = Duration::from_millis(refused[0].error.as_ref().unwrap().retry_after_ms.unwrap());
    assert!(wait < Duration::from_secs(3_600) && wait > Duration::from_secs(3_000), "{wait:?}");
    sleep(wait / 2).await;
    check_refused(&ask_all(&engine, "acme", "t", 1).await);
    sleep(wait / 2).await;
    assert_eq!(succeeded(&ask_all(&engine, "acme", "u", 1).await), 1);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_price_or_no_budget_asks_nobody() {
    let engine = engine(json!([budget("acme", "day", MOST)])).await;
    assert_eq!(succeeded(&ask_all(&engine, "other", "r", 3).await), 3);
    ask(&engine, "acme", "f", "free").await;
    assert_eq!(engine.outcome("acme", "f").await.status, Status::Succeeded);
    let name = engine.topology().budgets.clone();
    let spec = broker::BucketSpec { name, age_max: None, storage: broker::Storage::File };
    let bucket = engine.broker().bucket(&spec).await.unwrap();
    assert!(bucket.keys().await.unwrap().is_empty(), "nothing was written");
    assert_eq!(succeeded(&ask_all(&engine, "acme", "r", 2).await), 1);
    assert_eq!(bucket.keys().await.unwrap(), ["tenant.acme.day.0"]);
    ask(&engine, "acme", "g", "free").await;
    assert_eq!(engine.outcome("acme", "g").await.status, Status::Succeeded, "what is free goes on");
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_held_when_it_died_stays_held() {
    let mut engine = engine(json!([budget("acme", "day", 3.0 * MOST)])).await;
    engine.stop(Duration::ZERO).await;
    engine.start_beside().await;
    ask(&engine, "acme", "r", "slow").await;
    engine.event("acme", "r", "running").await;
    engine.kill_others();
    engine.start_again().await;
    assert_eq!(engine.outcome("acme", "r").await.status, Status::Succeeded, "it is called again");
    sleep(A_WHILE).await;
    let outcomes = ask_all(&engine, "acme", "s", 4).await;
    check_refused(&outcomes);
    assert_eq!(succeeded(&outcomes), 1, "nobody knows what the first call has cost");
    sleep(Duration::from_secs(2 * 3_600)).await;
    check_refused(&ask_all(&engine, "acme", "t", 1).await);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_cancelled_is_paid_for_as_it_is_recorded_and_one_that_waits_costs_nothing() {
    let engine = engine(json!([budget("acme", "day", 2.0 * MOST)])).await;
    ask(&engine, "acme", "r", "slow").await;
    engine.event("acme", "r", "running").await;
    engine.cancel("acme", "r").await;
    let cancelled = engine.outcome("acme", "r").await;
    assert_eq!((cancelled.status, cancelled.cost_usd), (Status::Cancelled, None));
    sleep(A_WHILE).await;
    assert_eq!(succeeded(&ask_all(&engine, "acme", "s", 2).await), 2);
}
