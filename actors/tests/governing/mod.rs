//! Who calls a provider, when, and by which key: what providers see of a whole engine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actors::ProviderLimits;
use adapters::{
    Adapter, Adaptive, Call, Error, Finished, KeyFault, Left, Limits, Model, Progress, Progressed, Registry,
    Remedy,
};
use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use schemas::{Action, ChatOutput, ErrorCode, Governing, Heartbeat, Outcome, Output, Status, Usage};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::support::{Engine, chat};

const MINUTE: Duration = Duration::from_secs(60);

/// A call, as a provider sees it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    key: usize,
    /// How many are under way, this one included.
    running: u64,
}

/// What a provider does with it.
enum Does {
    Answers,
    Says(Limits),
    Refuses(ErrorCode, Remedy, Option<Duration>),
}

/// A provider that notes its calls and does as it is told.
struct Scripted {
    name: &'static str,
    keys: usize,
    takes: Duration,
    calls: Mutex<Vec<Seen>>,
    running: Arc<AtomicU64>,
    script: Box<dyn Fn(Seen) -> Does + Send + Sync>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripted").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Scripted {
    fn new(
        name: &'static str,
        keys: usize,
        script: impl Fn(Seen) -> Does + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (takes, calls, running) = (Duration::from_millis(200), Mutex::default(), Arc::default());
        Arc::new(Self { name, keys, takes, calls, running, script: Box::new(script) })
    }

    fn calls(&self) -> Vec<Seen> {
        self.calls.lock().clone()
    }

    /// The most calls that began within a minute, by `key`.
    fn minute_max(&self, key: usize) -> usize {
        let calls: Vec<_> = self.calls().into_iter().filter(|call| call.key == key).collect();
        let within =
            |first: usize| calls[first..].iter().filter(|call| call.at - calls[first].at < MINUTE).count();
        (0..calls.len()).map(within).max().unwrap_or(0)
    }
}

/// A call under way.
struct Running(Arc<AtomicU64>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Adapter for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    fn keys(&self) -> usize {
        self.keys
    }

    async fn call(&self, call: Call) -> Result<Progressed, Error> {
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        let ends = Running(Arc::clone(&self.running));
        let seen = Seen { at: Instant::now(), key: call.key, running };
        self.calls.lock().push(seen);
        let mut first = vec![Ok(Progress::Started)];
        match (self.script)(seen) {
            Does::Answers => {}
            Does::Says(limits) => first.push(Ok(Progress::Limits(limits))),
            Does::Refuses(code, remedy, retry_after) => {
                return Err(Error { retry_after, ..Error::new(self.name, code, remedy, "as was planned") });
            }
        }
        let output = Output::Chat(ChatOutput { text: "whole".into(), ..ChatOutput::default() });
        let usage = Usage { input_tokens: 60, output_tokens: 40, ..Usage::default() };
        let finished = Finished { output, usage, model: call.model };
        let takes = self.takes;
        let end = stream::once(async move {
            sleep(takes).await;
            drop(ends);
            Ok(Progress::Finished(Box::new(finished)))
        });
        Ok(stream::iter(first).chain(end).boxed())
    }
}

/// An engine with these providers, which all have these limits and serve the model `m`.
async fn engine<const N: usize>(providers: [&Arc<Scripted>; N], limits: ProviderLimits) -> Engine {
    let mut registry = Registry::default();
    for provider in providers {
        let model = Model::new(provider.name, "m", Action::ChatCompletion);
        registry = registry.with(Arc::clone(provider) as Arc<dyn Adapter>, [model]);
    }
    let providers = BTreeMap::from(providers.map(|provider| (provider.name.to_owned(), limits)));
    Engine::with_providers(registry, providers, broker::Limits::default()).await
}

fn limits(concurrency: u32) -> ProviderLimits {
    ProviderLimits { concurrency, ..ProviderLimits::default() }
}

async fn ask(engine: &Engine, id: &str) {
    let request = chat(id, json!({"model": "m", "max_tokens": 100, "deadline_ms": 1_800_000}));
    engine.publish("acme", Action::ChatCompletion, request).await;
}

/// Asks so many times at once; returns the outcomes.
async fn ask_all(engine: &Engine, name: &str, count: usize) -> Vec<Outcome> {
    let ids: Vec<_> = (0..count).map(|number| format!("{name}{number}")).collect();
    for id in &ids {
        ask(engine, id).await;
    }
    let mut outcomes = Vec::new();
    for id in &ids {
        outcomes.push(engine.outcome("acme", id).await);
    }
    outcomes
}

fn succeeded(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| outcome.status == Status::Succeeded).count()
}

/// How the governor of `provider` says that it is, with its next heartbeat.
async fn governing(engine: &Engine, provider: &str) -> Governing {
    let mut beats = engine.listen("hb").await;
    loop {
        let message = beats.next().await.unwrap();
        let beat: Heartbeat = message.format().decode(&message.payload).unwrap();
        if beat.worker == provider {
            return beat.governing.unwrap();
        }
    }
}

const THROTTLED: (ErrorCode, Remedy) = (ErrorCode::RateLimited, Remedy::Throttle);
const DOWN: (ErrorCode, Remedy) = (ErrorCode::ProviderUnavailable, Remedy::Retry);

fn refuses((code, remedy): (ErrorCode, Remedy)) -> Does {
    Does::Refuses(code, remedy, None)
}

#[tokio::test(start_paused = true)]
async fn no_minute_holds_more_tokens_than_allowed() {
    let provider = Scripted::new("alpha", 1, |_| Does::Answers);
    // Each call uses a hundred, and is expected to use a few more.
    let engine = engine([&provider], ProviderLimits { tokens_per_minute: Some(1_000), ..limits(16) }).await;
    assert_eq!(succeeded(&ask_all(&engine, "r", 40).await), 40);
    let most = provider.minute_max(0);
    assert!((8..=10).contains(&most), "{most} calls of 100 tokens in a minute");
}

#[tokio::test(start_paused = true)]
async fn two_keys_do_twice_the_work_and_each_keeps_its_limit() {
    let provider = Scripted::new("alpha", 2, |_| Does::Answers);
    let start = Instant::now();
    let engine = engine([&provider], ProviderLimits { requests_per_minute: Some(30), ..limits(16) }).await;
    assert_eq!(succeeded(&ask_all(&engine, "r", 60).await), 60);
    assert!(start.elapsed() < MINUTE + Duration::from_secs(10), "{:?}", start.elapsed());
    for key in 0..2 {
        let count = provider.calls().iter().filter(|call| call.key == key).count();
        assert!((28..=32).contains(&count) && provider.minute_max(key) <= 30, "key {key}: {count} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_out_of_quota_is_set_aside_and_told_and_comes_back() {
    let spent = Arc::new(AtomicU64::new(1));
    let is_spent = Arc::clone(&spent);
    let fault = (ErrorCode::ProviderError, Remedy::DisableKey(KeyFault::Spent));
    let provider = Scripted::new("alpha", 2, move |seen| {
        if seen.key == 0 && is_spent.load(Ordering::Relaxed) == 1 { refuses(fault) } else { Does::Answers }
    });
    let engine = engine([&provider], limits(1)).await;
    assert_eq!(succeeded(&ask_all(&engine, "r", 20).await), 20, "the other key goes on");
    assert_eq!(provider.calls().iter().filter(|call| call.key == 0).count(), 1, "asked once, then let alone");
    let said = governing(&engine, "alpha").await;
    assert_eq!((said.keys, said.aside.len(), said.aside[0].key), (2, 1, 1), "{said:?}");
    let alarms = engine.alarms();
    assert!(alarms.len() == 1 && alarms[0].starts_with("key 1 of the provider `alpha`"), "{alarms:?}");
    spent.store(0, Ordering::Relaxed);
    sleep(limits(1).key_rest).await;
    assert_eq!(succeeded(&ask_all(&engine, "s", 1).await), 1);
    assert_eq!(provider.calls().last().unwrap().key, 0);
    assert!(governing(&engine, "alpha").await.aside.is_empty() && engine.alarms().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_key_the_next_provider_does_it_and_the_last_one_says_why() {
    let fault = (ErrorCode::ProviderError, Remedy::DisableKey(KeyFault::Rejected));
    let first = Scripted::new("alpha", 2, move |_| refuses(fault));
    let second = Scripted::new("beta", 1, |_| Does::Answers);
    let both = engine([&first, &second], limits(4)).await;
    let outcomes = ask_all(&both, "r", 10).await;
    assert!(
        succeeded(&outcomes) == 10
            && outcomes.iter().all(|outcome| outcome.provider.as_deref() == Some("beta"))
    );
    assert!(first.calls().len() <= 8, "{} calls by two keys, four at once", first.calls().len());
    let alone = Scripted::new("alpha", 1, move |_| refuses(fault));
    let alone = engine([&alone], limits(4)).await;
    let outcomes = [ask_all(&alone, "r", 1).await, ask_all(&alone, "s", 1).await].concat();
    let said: Vec<_> =
        outcomes.iter().map(|outcome| outcome.error.as_ref().unwrap().message.as_str()).collect();
    assert!(
        said[0].contains("as was planned") && said[1].contains("key 1: the provider rejects it"),
        "{said:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_is_hardly_called_and_serves_again_when_it_is_back() {
    let down = Arc::new(AtomicU64::new(1));
    let is_down = Arc::clone(&down);
    let first = Scripted::new("alpha", 1, move |_| match is_down.load(Ordering::Relaxed) {
        1 => refuses(DOWN),
        _ => Does::Answers,
    });
    let second = Scripted::new("beta", 1, |_| Does::Answers);
    let engine = engine([&first, &second], limits(4)).await;
    assert_eq!(succeeded(&ask_all(&engine, "r", 200).await), 200, "the other one does it");
    let calls = first.calls().len();
    assert!(calls < 80, "{calls} calls of 200 requests, which would be 600");
    down.store(0, Ordering::Relaxed);
    for round in 0..12 {
        ask_all(&engine, &format!("s{round}-"), 10).await;
        sleep(Duration::from_secs(10)).await;
    }
    let outcomes = ask_all(&engine, "t", 20).await;
    assert!(outcomes.iter().all(|outcome| outcome.provider.as_deref() == Some("alpha")));
}

#[tokio::test(start_paused = true)]
async fn work_that_can_go_nowhere_else_waits_for_a_provider_that_is_down() {
    let began = Instant::now();
    let provider =
        Scripted::new(
            "alpha",
            1,
            move |seen| {
                if seen.at - began < MINUTE { refuses(DOWN) } else { Does::Answers }
            },
        );
    let engine = engine([&provider], limits(4)).await;
    ask_all(&engine, "r", 10).await;
    let outcomes = ask_all(&engine, "s", 10).await;
    assert!(provider.calls().len() < 60, "{} calls", provider.calls().len());
    sleep(MINUTE).await;
    assert!(outcomes.iter().all(|outcome| outcome.attempts.len() <= 3));
    assert_eq!(succeeded(&ask_all(&engine, "t", 10).await), 10);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_wants_to_be_let_alone_for_too_long_leaves_the_work_to_the_next() {
    let hour = Some(Duration::from_secs(3_600));
    let first =
        Scripted::new("alpha", 1, move |_| Does::Refuses(ErrorCode::RateLimited, Remedy::Throttle, hour));
    let second = Scripted::new("beta", 1, |_| Does::Answers);
    let engine = engine([&first, &second], limits(1)).await;
    let outcomes = ask_all(&engine, "r", 5).await;
    assert!(outcomes.iter().all(|outcome| outcome.provider.as_deref() == Some("beta")));
    assert_eq!(first.calls().len(), 1, "it was heard");
    assert!(outcomes.iter().all(|outcome| outcome.timings.total_ms < 10_000));
}

#[tokio::test(start_paused = true)]
async fn refusals_shrink_the_calls_at_once_and_answers_let_them_grow() {
    let narrow = Arc::new(AtomicU64::new(4));
    let bears = Arc::clone(&narrow);
    let provider = Scripted::new("alpha", 1, move |seen| {
        let fits = seen.running <= bears.load(Ordering::Relaxed);
        if fits { Does::Answers } else { refuses(THROTTLED) }
    });
    let engine = engine([&provider], ProviderLimits { adaptive: Adaptive::Aimd, ..limits(32) }).await;
    assert_eq!(succeeded(&ask_all(&engine, "r", 200).await), 200, "no refusal costs an attempt");
    let shrunk = governing(&engine, "alpha").await.limit;
    assert!((3..=6).contains(&shrunk), "{shrunk}");
    narrow.store(1_000, Ordering::Relaxed);
    ask_all(&engine, "s", 1_000).await;
    let grown = governing(&engine, "alpha").await.limit;
    assert!(grown > 20, "{grown}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_is_not_called_three_times_for_each_request() {
    let provider = Scripted::new("alpha", 1, |_| refuses(DOWN));
    let engine = engine([&provider], limits(8)).await;
    assert_eq!(succeeded(&ask_all(&engine, "r", 100).await), 0);
    let calls = provider.calls().len();
    assert!((100..=120).contains(&calls), "{calls} calls of 100 requests, which would be 300");
}

#[tokio::test(start_paused = true)]
async fn what_a_reply_says_is_left_holds_the_next_calls_back() {
    let begun = AtomicU64::new(0);
    let provider = Scripted::new("alpha", 1, move |_| match begun.fetch_add(1, Ordering::Relaxed) {
        0 => Does::Says(Limits {
            requests: Some(Left { count: 2, lasts: Duration::from_secs(20) }),
            tokens: None,
        }),
        _ => Does::Answers,
    });
    let engine = engine([&provider], limits(1)).await;
    ask_all(&engine, "r", 5).await;
    let calls = provider.calls();
    assert!(calls[2].at - calls[0].at < Duration::from_secs(5), "two were left");
    let pause = calls[3].at - calls[0].at;
    assert!((19..22).contains(&pause.as_secs()), "{pause:?}");
}

#[tokio::test(start_paused = true)]
async fn engines_on_one_broker_share_a_limit_and_one_that_dies_takes_none_with_it() {
    let provider = Scripted::new("alpha", 1, |_| Does::Answers);
    let of_each = ProviderLimits { requests_per_minute: Some(30), ..limits(8) };
    let mut engine = engine([&provider], of_each).await;
    engine.start_beside().await;
    engine.start_beside().await;
    let start = Instant::now();
    assert_eq!(succeeded(&ask_all(&engine, "r", 60).await), 60);
    engine.kill_others();
    engine.start_beside().await;
    assert_eq!(succeeded(&ask_all(&engine, "s", 60).await), 60);
    let most = provider.minute_max(0);
    assert!((25..=30).contains(&most), "{most} calls in a minute");
    assert!(start.elapsed() < MINUTE * 5, "{:?} for four minutes' work", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn engines_on_one_broker_share_the_tokens_of_a_minute_by_what_was_used_of_them() {
    let provider = Scripted::new("alpha", 1, |_| Does::Answers);
    let mut engine =
        engine([&provider], ProviderLimits { tokens_per_minute: Some(2_000), ..limits(8) }).await;
    engine.start_beside().await;
    assert_eq!(succeeded(&ask_all(&engine, "r", 60).await), 60);
    let most = provider.minute_max(0);
    assert!((15..=20).contains(&most), "{most} calls of 100 tokens in a minute");
}
