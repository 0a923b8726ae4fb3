//! Ollama's own API (`/api/chat`, `/api/embed`): unlike its OpenAI layer, it controls how much the model thinks and how
//! long it stays loaded, and lets a client set the context.
//!
//! | in the body | at Ollama |
//! |---|---|
//! | messages of every role | `messages`; `developer` becomes `system`, and a result names its tool |
//! | images as `data:` URIs | `images` of their message |
//! | images by `https:` URL, audio, files | refused: Ollama reads only images, and fetches none |
//! | `tools`; `tool_choice` `auto` or `none` | `tools`; with `none` they are left out |
//! | `tool_choice` that demands or names a tool, `parallel_tool_calls: false` with tools | refused: there is no such setting |
//! | `max_completion_tokens`, `temperature`, `top_p`, `top_k`, `min_p`, `seed`, `stop`, the penalties | `options` |
//! | `response_format` | `format`: `json`, or the schema |
//! | `reasoning_effort` | `think`; `minimal` is `low`, `xhigh` is `max` |
//! | `reasoning_content` of earlier answers | `thinking` |
//! | `options`, `keep_alive`, `think` | as they come; they override the rows above |
//! | `n` above 1 | refused |
//! | hints on accounting and caching (`user`, `store`, `prompt_cache_key`, …) | dropped |
//! | any other field | refused by name |
//!
//! | file | what it holds |
//! |---|---|
//! | `request` | the body of a chat |
//! | `reply` | reads an answer, whole or line by line |
//! | `embeddings` | vectors |

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Client;
use schemas::Action;

use crate::{
    Adapter, Call, ConfigError, Error, Progressed, ProviderConfig,
    chat::{Ask, Framing, progress},
    deadline, embeddings as vectors,
    endpoint::{Endpoint, KeyPlace, Manners},
    joined,
};

mod embeddings;
mod reply;
mod request;

pub(crate) const MANNERS: Manners = Manners {
    kind: "an ollama provider",
    base_url: Some("http://127.0.0.1:11434/api"),
    key: KeyPlace::Bearer,
    variable: None,
    headers: &[],
};

/// An Ollama server, or its cloud.
#[derive(Debug)]
pub struct Ollama {
    endpoint: Arc<Endpoint>,
}

impl Ollama {
    /// Checks `config` and reads the key, if one is needed. Connects to nothing.
    pub fn new(name: &str, config: &ProviderConfig, client: Client) -> Result<Self, ConfigError> {
        let endpoint = Endpoint::open(name, config, &MANNERS, client)?;
        Ok(Self { endpoint })
    }

    async fn chat(&self, call: &Call) -> Result<Progressed, Error> {
        let ask = Ask::new(call);
        let body = request::body(&self.endpoint, call, ask.streamed)?;
        let accept = if ask.streamed { "application/x-ndjson" } else { "application/json" };
        let response = self.endpoint.post("chat", accept, call, &body).await?;
        let decoder = reply::Lines::new(&self.endpoint, &call.idempotency_key);
        Ok(progress(Arc::clone(&self.endpoint), ask, decoder, Framing::Lines, response))
    }

    async fn embeddings(&self, call: &Call) -> Result<Progressed, Error> {
        let (ask, request) = vectors::Ask::new(&self.endpoint.name, call)?;
        let body = embeddings::body(&self.endpoint, call, &request)?;
        let response = self.endpoint.post("embed", "application/json", call, &body).await?;
        let read = move |endpoint: &Endpoint, reply: &[u8]| embeddings::read(endpoint, ask, reply);
        Ok(vectors::progress(Arc::clone(&self.endpoint), response, read))
    }
}

#[async_trait]
impl Adapter for Ollama {
    fn name(&self) -> &str {
        &self.endpoint.name
    }

    fn keys(&self) -> usize {
        self.endpoint.keys()
    }

    async fn call(&self, call: Call) -> Result<Progressed, Error> {
        let progressed = match call.action {
            Action::ChatCompletion => self.chat(&call).await?,
            Action::EmbeddingQuery => self.embeddings(&call).await?,
            other => return Err(self.endpoint.cannot(&format!("an ollama provider does not do `{other}`"))),
        };
        Ok(deadline::bound(joined::join(progressed), call.deadline, self.name()))
    }
}
