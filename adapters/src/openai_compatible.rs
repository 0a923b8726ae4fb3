//! Any server that speaks OpenAI's API: OpenAI, z.ai, vLLM, Ollama and many more, told apart by their base URL alone.
//!
//! The payload goes out as it came, unknown fields included. The adapter only replaces the model's name, asks for
//! usage, and removes the engine's own fields, and Anthropic's cache marks (`cache_control`) unless the server is
//! configured to know them. One server's extensions that every chat should have (z.ai's `tool_stream`, vLLM's
//! `chat_template_kwargs`) are configured as `chat_fields`. The adapter retries nothing: an error says what to do, and
//! the worker does it.
//!
//! | file | what it holds |
//! |---|---|
//! | `chat` | `POST chat/completions`: the body, chunks and whole replies |
//! | `pieces` | turns the choices of a chunk into deltas |
//! | `responses` | `POST responses`, for models that answer there |
//! | `marks` | removes Anthropic's cache marks |
//! | `embeddings` | `POST embeddings` |
//! | `images` | `POST images/generations` |
//! | `speech` | `POST audio/speech` |
//! | `wire` | the shapes of replies, as loose as the servers are |
//! | `usage` | the usage that a server reports |
//! | `fuzzing` | entry points for tests and fuzzers: replies from bytes, not from connections |

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use reqwest::Client;
use schemas::Action;
use serde_json::Value;

use crate::{
    Adapter, Call, ConfigError, Error, Progressed, ProviderConfig,
    chat::{Ask, Framing, Origin, progress},
    config::ChatApi,
    deadline, embeddings as vectors,
    endpoint::{Endpoint, KeyPlace, Manners},
    joined,
};

mod chat;
mod embeddings;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod images;
mod marks;
mod pieces;
mod responses;
mod speech;
mod usage;
mod wire;

pub(crate) const MANNERS: Manners = Manners {
    kind: "an openai_compatible provider",
    base_url: None,
    key: KeyPlace::Bearer,
    variable: None,
    headers: &[],
};

/// Fields of a payload that mean something to this engine only; a provider would refuse them.
const ENGINE_FIELDS: [&str; 1] = ["simulate"];

/// A provider behind OpenAI's API.
#[derive(Debug)]
pub struct OpenaiCompatible {
    endpoint: Arc<Endpoint>,
    /// Fields to add to every chat that lacks them.
    chat_fields: BTreeMap<String, Value>,
    /// Whether the server knows Anthropic's cache marks.
    cache_control: bool,
    /// The models, by the provider's names, whose chats go to the Responses API.
    responders: BTreeSet<String>,
}

impl OpenaiCompatible {
    /// Checks `config` and reads the key. Connects to nothing.
    pub fn new(name: &str, config: &ProviderConfig, client: Client) -> Result<Self, ConfigError> {
        let endpoint = Endpoint::open(name, config, &MANNERS, client)?;
        let responders = config.models.iter().filter(|(_, model)| model.api == Some(ChatApi::Responses));
        let responders =
            responders.map(|(id, model)| model.upstream.as_ref().unwrap_or(id).clone()).collect();
        let (chat_fields, cache_control) = (config.chat_fields.clone(), config.cache_control);
        Ok(Self { endpoint, chat_fields, cache_control, responders })
    }

    async fn chat(&self, call: &mut Call) -> Result<Progressed, Error> {
        let ask = Ask::new(call);
        let accept = if ask.streamed { "text/event-stream" } else { "application/json" };
        if self.responders.contains(&call.model) {
            let origin = Origin::new(&self.endpoint.name, &ask.model);
            let body = responses::body(&self.endpoint, &ask, &call.payload, &self.chat_fields, &origin)?;
            let response = self.endpoint.post("responses", accept, call, &body).await?;
            let decoder = responses::Events::new(&self.endpoint, origin);
            return Ok(progress(Arc::clone(&self.endpoint), ask, decoder, Framing::Events, response));
        }
        let mut body = chat::body(&ask, std::mem::take(&mut call.payload), &self.chat_fields);
        if !self.cache_control {
            marks::remove(&mut body);
        }
        let response = self.endpoint.post("chat/completions", accept, call, &body).await?;
        let decoder = chat::Chunks::new(&self.endpoint);
        Ok(progress(Arc::clone(&self.endpoint), ask, decoder, Framing::Events, response))
    }

    async fn embeddings(&self, call: &Call) -> Result<Progressed, Error> {
        let (ask, _) = vectors::Ask::new(&self.endpoint.name, call)?;
        let body = embeddings::body(call);
        let response = self.endpoint.post("embeddings", "application/json", call, &body).await?;
        let read = move |endpoint: &Endpoint, reply: &[u8]| embeddings::read(endpoint, ask, reply);
        Ok(vectors::progress(Arc::clone(&self.endpoint), response, read))
    }

    async fn images(&self, call: &Call) -> Result<Progressed, Error> {
        let body = images::body(call);
        let response = self.endpoint.post("images/generations", "application/json", call, &body).await?;
        Ok(images::progress(Arc::clone(&self.endpoint), Arc::new(call.clone()), response))
    }

    async fn speech(&self, call: &Call) -> Result<Progressed, Error> {
        let body = speech::body(call);
        let response = self.endpoint.post("audio/speech", "application/octet-stream", call, &body).await?;
        Ok(speech::progress(&self.endpoint, call, response))
    }
}

#[async_trait]
impl Adapter for OpenaiCompatible {
    fn name(&self) -> &str {
        &self.endpoint.name
    }

    fn keys(&self) -> usize {
        self.endpoint.keys()
    }

    async fn call(&self, mut call: Call) -> Result<Progressed, Error> {
        let progressed = match call.action {
            Action::ChatCompletion => self.chat(&mut call).await?,
            Action::EmbeddingQuery => self.embeddings(&call).await?,
            Action::ImageGenerate => self.images(&call).await?,
            Action::AudioSynthesize => self.speech(&call).await?,
            other => {
                let why = format!("an openai_compatible provider does not do `{other}`");
                return Err(self.endpoint.cannot(&why));
            }
        };
        Ok(deadline::bound(joined::join(progressed), call.deadline, self.name()))
    }
}

/// The payload to send: for `model`, without the engine's own fields.
fn outgoing(payload: Value, model: &str) -> serde_json::Map<String, Value> {
    let Value::Object(mut body) = payload else { return serde_json::Map::new() };
    ENGINE_FIELDS.iter().for_each(|field| drop(body.remove(*field)));
    body.insert("model".into(), model.into());
    body
}
