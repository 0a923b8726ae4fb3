//! A provider that says what it is told to say, call by call, and remembers what it was asked.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actors::ProviderLimits;
use adapters::{Adapter, Call, Error, Finished, Model, Progress, Progressed, Registry, Remedy};
use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use schemas::{
    Action, ChatDelta, ChatOutput, ErrorCode, Output, Usage,
    chat::{FinishReason, ToolCallDelta},
};
use serde_json::Value;
use tokio::time::sleep;

use super::Engine;

/// What each call uses.
pub(crate) const USED: Usage = Usage { input_tokens: 10, output_tokens: 5, ..NOTHING };
const NOTHING: Usage = Usage {
    input_tokens: 0,
    output_tokens: 0,
    cached_tokens: 0,
    cache_write_tokens: 0,
    reasoning_tokens: 0,
    images: 0,
    characters: 0,
    media_ms: 0,
    estimated: false,
};

/// What one call is answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    /// After so long.
    after: Duration,
    text: String,
    refusal: String,
    calls_a_tool: bool,
    finish_reason: Option<FinishReason>,
    /// Instead of an end, after the text where there is one.
    fails: Option<Remedy>,
}

impl Said {
    pub(crate) fn text(text: &str) -> Self {
        Self { text: text.into(), finish_reason: Some(FinishReason::Stop), ..Self::default() }
    }

    pub(crate) fn refusal(text: &str) -> Self {
        Self { refusal: text.into(), ..Self::text("") }
    }

    pub(crate) fn tool_call() -> Self {
        Self { calls_a_tool: true, finish_reason: Some(FinishReason::ToolCalls), ..Self::default() }
    }

    pub(crate) fn failure(remedy: Remedy) -> Self {
        Self::default().failing(remedy)
    }

    /// Instead of its end.
    pub(crate) fn failing(self, remedy: Remedy) -> Self {
        Self { fails: Some(remedy), ..self }
    }

    pub(crate) fn after(self, milliseconds: u64) -> Self {
        Self { after: Duration::from_millis(milliseconds), ..self }
    }

    pub(crate) fn ended_by(self, reason: FinishReason) -> Self {
        Self { finish_reason: Some(reason), ..self }
    }

    fn deltas(&self) -> Vec<ChatDelta> {
        let call = ToolCallDelta {
            id: Some("c1".into()),
            name: Some("f".into()),
            arguments: "{}".into(),
            ..ToolCallDelta::default()
        };
        // In two pieces, as answers come.
        let middle = self.text.ceil_char_boundary(self.text.len() / 2);
        let pieces = [
            ChatDelta::text(&self.text[..middle]),
            ChatDelta::text(&self.text[middle..]),
            ChatDelta { refusal: self.refusal.clone(), ..ChatDelta::default() },
            ChatDelta { tool_calls: vec![call; usize::from(self.calls_a_tool)], ..ChatDelta::default() },
            ChatDelta {
                finish_reason: self.finish_reason.filter(|_| self.fails.is_none()),
                ..ChatDelta::default()
            },
        ];
        pieces.into_iter().filter(|piece| !piece.is_empty()).collect()
    }
}

/// The provider. After the last of what it is to say, it says that again.
#[derive(Debug)]
pub(crate) struct Scripted {
    name: String,
    says: Mutex<VecDeque<Said>>,
    asked: Mutex<Vec<Value>>,
    cancelled: Arc<AtomicUsize>,
}

impl Scripted {
    pub(crate) fn new(name: &str, says: impl IntoIterator<Item = Said>) -> Arc<Self> {
        let says = Mutex::new(says.into_iter().collect());
        Arc::new(Self { name: name.into(), says, asked: Mutex::default(), cancelled: Arc::default() })
    }

    /// The payloads of its calls.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked.lock().clone()
    }

    /// How many of its calls were given up before their end.
    pub(crate) fn cancelled(&self) -> usize {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn next(&self) -> Said {
        let mut says = self.says.lock();
        if says.len() > 1 { says.pop_front().unwrap() } else { says.front().cloned().unwrap() }
    }
}

/// Counts a call that does not come to its end.
struct Guard {
    cancelled: Arc<AtomicUsize>,
    is_over: bool,
}

impl Guard {
    const fn end(&mut self) {
        self.is_over = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.cancelled.fetch_add(usize::from(!self.is_over), Ordering::Relaxed);
    }
}

#[async_trait]
impl Adapter for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    async fn call(&self, call: Call) -> Result<Progressed, Error> {
        let (said, name) = (self.next(), self.name.clone());
        self.asked.lock().push(call.payload.clone());
        let mut guard = Guard { cancelled: Arc::clone(&self.cancelled), is_over: false };
        let is_streamed = call.payload["stream"] == true;
        let deltas = said.deltas();
        let mut output = ChatOutput::default();
        deltas.iter().for_each(|delta| output.absorb(delta));
        let output = Output::Chat(output);
        let finished = Finished { output, usage: USED, model: call.model };
        let (after, fails) = (said.after, said.fails);
        let begun = stream::once(async move {
            sleep(after).await;
            None
        });
        let shown =
            deltas.into_iter().filter(move |_| is_streamed).map(|delta| Some(Ok(Progress::Delta(delta))));
        let end = stream::once(async move {
            guard.end();
            Some(match fails {
                None => Ok(Progress::Finished(Box::new(finished))),
                Some(remedy) => Err(Error::new(name, ErrorCode::ProviderUnavailable, remedy, "fails")),
            })
        });
        Ok(begun.chain(stream::iter(shown)).chain(end).filter_map(async |item| item).boxed())
    }
}

/// An engine whose model `m` is served by these, in order.
pub(crate) async fn engine(providers: &[&Arc<Scripted>]) -> Engine {
    engine_with(providers, ProviderLimits::default()).await
}

/// The same, with these limits for each but the first.
pub(crate) async fn engine_with(providers: &[&Arc<Scripted>], others: ProviderLimits) -> Engine {
    let mut registry = Registry::build(&BTreeMap::new()).unwrap();
    let mut limits = BTreeMap::new();
    for (index, provider) in providers.iter().enumerate() {
        let of_each = if index == 0 { ProviderLimits::default() } else { others };
        limits.insert(provider.name.clone(), of_each);
        let model = Model::new(&provider.name, "m", Action::ChatCompletion);
        registry = registry.with(Arc::clone(*provider) as Arc<dyn Adapter>, [model]);
    }
    Engine::with_providers(registry, limits, broker::Limits::default()).await
}
