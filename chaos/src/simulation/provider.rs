//! The simulated providers: they answer with the asker's marker, at a drawn pace, and misbehave as the plan says.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use adapters::{Adapter, Call, Error, Finished, KeyFault, Model, Progress, Progressed, Remedy};
use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use schemas::{
    Action, ChatDelta, ChatOutput, EmbeddingOutput, ErrorCode, Output, RequestId, Tenant, Usage,
    embedding::Vector,
};
use serde_json::Value;
use tokio::time::sleep;

use super::{plan::Mood, recorder::Recorder};
use crate::{
    history::{Fact, Key, markers},
    workload::mix,
};

/// Both providers chat, so that one can stand in for the other.
pub(super) const NAMES: [&str; 2] = ["alpha", "beta"];
/// The chat model of both.
pub(super) const CHAT: &str = "sim-chat";
/// The embedding model of the first.
pub(super) const EMBED: &str = "sim-embed";
/// The longest an answer takes to begin while all is well.
const FIRST_MS_MAX: u64 = 600;
/// The longest pause between two tokens while all is well.
const GAP_MS_MAX: u64 = 120;
/// The gap of a dripping provider, which keeps within the silence that the engine tolerates.
const DRIP_MS: u64 = 3_500;
/// The longest wait that a throttling provider asks for.
const RETRY_AFTER_MS_MAX: u64 = 6_000;
/// The length of a vector.
const DIMENSIONS: usize = 4;

/// All providers of a run.
#[derive(Debug)]
pub(super) struct Providers {
    recorder: Recorder,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    random: StdRng,
    calls: u64,
    /// What goes wrong now: the number of the strike, the provider, how, and how often.
    moods: Vec<(usize, String, Mood, f64)>,
    /// Calls that have not ended, each with the engine that made it.
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    engine: Arc<str>,
    tokens: u64,
}

/// One provider, as one engine sees it.
#[derive(Debug)]
pub(super) struct Provider {
    name: &'static str,
    engine: Arc<str>,
    all: Arc<Providers>,
}

impl Providers {
    /// All providers, in a good mood.
    pub(super) fn new(recorder: Recorder, seed: u64) -> Arc<Self> {
        let random = StdRng::seed_from_u64(mix(seed, 2));
        let inner = Inner { random, calls: 0, moods: Vec::new(), open: BTreeMap::new() };
        Arc::new(Self { recorder, inner: Mutex::new(inner) })
    }

    /// The adapters of one engine, with their models.
    pub(super) fn adapters(self: &Arc<Self>, engine: &str) -> Vec<(Arc<dyn Adapter>, Vec<Model>)> {
        let engine: Arc<str> = engine.into();
        let of = |name: &'static str| {
            let provider = Provider { name, engine: Arc::clone(&engine), all: Arc::clone(self) };
            let adapter: Arc<dyn Adapter> = Arc::new(provider);
            let mut models = vec![Model::new(name, CHAT, Action::ChatCompletion)];
            if name == NAMES[0] {
                models.push(Model::new(name, EMBED, Action::EmbeddingQuery));
            }
            (adapter, models)
        };
        NAMES.into_iter().map(of).collect()
    }

    /// Puts `provider` into this mood from now on.
    pub(super) fn upset(&self, strike: usize, provider: &str, mood: Mood, probability: f64) {
        self.inner.lock().moods.push((strike, provider.to_owned(), mood, probability));
    }

    /// Ends a strike.
    pub(super) fn calm(&self, strike: usize) {
        self.inner.lock().moods.retain(|(number, ..)| *number != strike);
    }

    /// Cuts the calls of an engine that has died, in the order of their numbers, whatever the order in which its tasks
    /// are taken down.
    pub(super) fn engine_died(&self, engine: &str) {
        let calls: Vec<_> = {
            let inner = self.inner.lock();
            inner.open.iter().filter(|(_, open)| *open.engine == *engine).map(|(call, _)| *call).collect()
        };
        for call in calls {
            self.end(call, None, false, true, None);
        }
    }

    fn end(
        &self,
        call: u64,
        status: Option<u16>,
        whole: bool,
        caller_gone: bool,
        retry_after_ms: Option<u64>,
    ) {
        let Some(open) = self.inner.lock().open.remove(&call) else { return };
        let tokens = open.tokens;
        let fact = Fact::Answered { call, status, whole, caller_gone, retry_after_ms, tokens };
        self.recorder.write("provider", fact);
    }
}

/// What a call will see.
struct Script {
    text: Vec<String>,
    first: Duration,
    gap: Duration,
    mood: Option<Mood>,
    /// How many tokens come before the mood shows.
    turn: usize,
    retry_after_ms: u64,
    /// Whether deltas are wanted, so that a silence is noticed.
    streamed: bool,
}

impl Provider {
    /// Writes the call down and decides everything that will happen to it.
    fn begin(&self, call: &Call) -> (u64, Script) {
        let mut inner = self.all.inner.lock();
        inner.calls += 1;
        let number = inner.calls;
        inner.open.insert(number, Open { engine: Arc::clone(&self.engine), tokens: 0 });
        let fact = Fact::Called {
            call: number,
            request: asker(&call.payload),
            idempotency_key: Some(call.idempotency_key.clone()),
            model: format!("{}/{}", self.name, call.model),
        };
        self.all.recorder.write("provider", fact);
        let Inner { random, moods, .. } = &mut *inner;
        let struck = moods
            .iter()
            .find(|(_, provider, _, probability)| provider == self.name && random.random_bool(*probability));
        let mood = struck.map(|(_, _, mood, _)| *mood);
        let text = answer(&call.payload);
        let script = Script {
            first: Duration::from_millis(random.random_range(0..FIRST_MS_MAX)),
            gap: Duration::from_millis(match mood {
                Some(Mood::Drips) => DRIP_MS,
                _ => random.random_range(0..GAP_MS_MAX),
            }),
            // A provider that stalls before its first token is another mood.
            turn: random.random_range(1..=text.len()),
            retry_after_ms: random.random_range(1..RETRY_AFTER_MS_MAX),
            streamed: call.payload["stream"] == true,
            mood,
            text,
        };
        if let Some(mood) = mood {
            self.all.recorder.fired(&class(mood), 1);
        }
        (number, script)
    }

    fn error(&self, code: ErrorCode, remedy: Remedy, status: u16, why: &str) -> Error {
        Error { upstream_status: Some(status), ..Error::new(self.name, code, remedy, why) }
    }

    /// The refusal of a call, if its mood refuses it at once.
    fn refusal(&self, script: &Script) -> Option<Error> {
        let (code, remedy, status, why) = match script.mood? {
            Mood::Throttles | Mood::ThrottlesSilently => {
                (ErrorCode::RateLimited, Remedy::Throttle, 429, "too many calls")
            }
            Mood::Fails => (ErrorCode::ProviderUnavailable, Remedy::Retry, 503, "out of order"),
            Mood::Refuses => (ErrorCode::ProviderError, Remedy::Fatal, 400, "does not like the request"),
            Mood::OutOfQuota => (
                ErrorCode::BudgetExceeded,
                Remedy::DisableKey(KeyFault::Spent),
                429,
                "the key has no quota left",
            ),
            _ => return None,
        };
        let mut error = self.error(code, remedy, status, why);
        if script.mood == Some(Mood::Throttles) {
            error.retry_after = Some(Duration::from_millis(script.retry_after_ms));
        }
        Some(error)
    }
}

/// A call under way; if it is dropped before its end, its caller has gone away.
struct Ongoing {
    all: Arc<Providers>,
    call: u64,
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.all.end(self.call, None, false, true, None);
    }
}

#[async_trait]
impl Adapter for Provider {
    fn name(&self) -> &str {
        self.name
    }

    async fn call(&self, call: Call) -> Result<Progressed, Error> {
        let (number, script) = self.begin(&call);
        let ongoing = Ongoing { all: Arc::clone(&self.all), call: number };
        if script.mood != Some(Mood::StallsAtFirst) {
            sleep(script.first).await;
        }
        if let Some(refusal) = self.refusal(&script) {
            let after = refusal.retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
            self.all.end(number, refusal.upstream_status, true, false, after);
            return Err(refusal);
        }
        let reply = Reply {
            error: self.error(ErrorCode::ProviderError, Remedy::Retry, 200, "the answer broke off"),
            embeds: call.action == Action::EmbeddingQuery,
            model: call.model,
            script,
            ongoing,
        };
        let progress = stream::unfold(Some((reply, 0)), |state| async {
            let (mut reply, at) = state?;
            let next = reply.next(at).await?;
            let last = matches!(next, Err(_) | Ok(Progress::Finished(_)));
            Some((next, (!last).then_some((reply, at + 1))))
        });
        Ok(stream::iter([Ok(Progress::Started)]).chain(progress).boxed())
    }
}

/// An answer, as it goes out.
struct Reply {
    script: Script,
    ongoing: Ongoing,
    error: Error,
    embeds: bool,
    model: String,
}

impl Reply {
    /// Token number `at`, the end, or what comes instead.
    async fn next(&mut self, at: usize) -> Option<Result<Progress, Error>> {
        let turned = at >= self.script.turn;
        match self.script.mood {
            Some(Mood::StallsAtFirst) => self.fall_silent().await,
            Some(Mood::StallsLater) if turned => self.fall_silent().await,
            Some(Mood::Breaks | Mood::Babbles) if turned => {
                self.end(None, false);
                let nobody = Error::new("", ErrorCode::Internal, Remedy::Fatal, "");
                return Some(Err(std::mem::replace(&mut self.error, nobody)));
            }
            Some(Mood::EndsEarly) if turned => {
                self.end(Some(200), false);
                return None;
            }
            // Without the panic hook of the process: nobody wants to read about a planned panic.
            Some(Mood::Kills) if turned => std::panic::resume_unwind(Box::new("a planned panic")),
            _ => {}
        }
        sleep(self.script.gap).await;
        match self.script.text.get(at).filter(|_| !self.embeds) {
            Some(token) => {
                if let Some(open) = self.ongoing.all.inner.lock().open.get_mut(&self.ongoing.call) {
                    open.tokens += 1;
                }
                Some(Ok(Progress::Delta(ChatDelta::text(token))))
            }
            None => {
                self.end(Some(200), true);
                Some(Ok(Progress::Finished(Box::new(self.finished()))))
            }
        }
    }

    async fn fall_silent(&self) {
        let call = self.ongoing.call;
        // A silent answer that is not streamed looks like one still being made: only the longest call ends it.
        if self.script.streamed {
            self.ongoing.all.recorder.write("provider", Fact::Silent { call });
        }
        std::future::pending::<()>().await;
    }

    fn end(&self, status: Option<u16>, whole: bool) {
        self.ongoing.all.end(self.ongoing.call, status, whole, false, None);
    }

    fn finished(&self) -> Finished {
        let tokens = self.script.text.len() as u64;
        let output = if self.embeds {
            Output::Embeddings(EmbeddingOutput { embeddings: vec![Vector(vec![0.5; DIMENSIONS])] })
        } else {
            Output::Chat(ChatOutput { text: self.script.text.concat(), ..ChatOutput::default() })
        };
        let usage = Usage { output_tokens: if self.embeds { 0 } else { tokens }, ..Usage::default() };
        Finished { output, usage, model: self.model.clone() }
    }
}

/// The tokens of an answer: the asker's marker, and as many words as are wanted.
fn answer(payload: &Value) -> Vec<String> {
    let marker = asker(payload).map_or_else(|| "nobody".to_owned(), |key| crate::history::marker(&key));
    let words = payload["max_completion_tokens"].as_u64().unwrap_or(1);
    let words = (1..words).map(|number| format!(" w{number}"));
    std::iter::once(marker).chain(words).collect()
}

/// The request whose marker is in the prompt.
fn asker(payload: &Value) -> Option<Key> {
    let text = payload.to_string();
    let (tenant, id) = markers(&text).next()?.split_once('/')?;
    Some(Key { tenant: Tenant::new(tenant).ok()?, id: RequestId::new(id).ok()? })
}

/// The name under which a mood is counted.
fn class(mood: Mood) -> String {
    super::plan::Fault::Provider { provider: String::new(), mood, probability: 1.0 }.class()
}
