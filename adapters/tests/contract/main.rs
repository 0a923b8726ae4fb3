//! What every adapter promises, checked on all of them by the same checks; and what those over HTTP do on the wire.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what a test cannot do without, it may fail on")]

mod anthropic;
mod both;
mod dynamic;
mod gemini;
mod media;
mod ollama;
mod responses;
mod server;
mod usage;
mod webhook;
mod wire;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use adapters::{Adapter, Call, Error, Progress, ProviderConfig, Registry};
use futures_util::StreamExt;
use schemas::{Action, ChatDelta, ChatOutput, Output};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Longer than any check takes on a busy machine; only a check that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The provider that this table configures.
fn provider(table: Value) -> Arc<dyn Adapter> {
    let config: ProviderConfig = serde_json::from_value(table).unwrap();
    Registry::build(&BTreeMap::from([("p".to_owned(), config)])).unwrap().adapter("p").unwrap()
}

/// A chat call.
fn chat(fields: Value) -> Call {
    let mut payload = json!({"model": "alias", "messages": [{"role": "user", "content": "hello there"}]});
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Call {
        action: Action::ChatCompletion,
        model: "m".into(),
        payload,
        deadline: Instant::now() + PATIENCE,
        idempotency_key: "acme.req-1".into(),
        key: 0,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        webhook: None,
    }
}

/// All that a call brings. A refusal is its only item.
async fn all(adapter: &dyn Adapter, call: Call) -> Vec<Result<Progress, Error>> {
    let mut progress = match adapter.call(call).await {
        Ok(progress) => progress,
        Err(error) => return vec![Err(error)],
    };
    let mut items = Vec::new();
    while let Some(item) = progress.next().await {
        items.push(item);
    }
    assert!(progress.next().await.is_none(), "a stream that has ended stays so");
    items
}

fn deltas(items: &[Result<Progress, Error>]) -> Vec<&ChatDelta> {
    let delta = |item: &'_ Result<Progress, Error>| matches!(item, Ok(Progress::Delta(_)));
    let items = items.iter().filter(|item| delta(item));
    items
        .map(|item| match item {
            Ok(Progress::Delta(delta)) => delta,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn output(items: &[Result<Progress, Error>]) -> ChatOutput {
    match items.last() {
        Some(Ok(Progress::Finished(finished))) => match &finished.output {
            Output::Chat(output) => output.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn failure(items: &[Result<Progress, Error>]) -> &Error {
    items.last().unwrap().as_ref().unwrap_err()
}
