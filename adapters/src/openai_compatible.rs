//! Any server that speaks OpenAI's API: OpenAI, z.ai, vLLM, Ollama and many more, told apart by their base URL alone.
//!
//! The payload goes out as it came, unknown fields included; only the model's name is replaced, usage is asked for, and
//! what concerns the engine alone is taken out. Nothing is retried here: an error says what to do, the worker does it.
//!
//! | file | what it holds |
//! |---|---|
//! | `settings` | where the API is, the key, the headers; and how secrets stay out of errors |
//! | `chat` | `POST chat/completions`: the body, the stream, the whole reply |
//! | `answer` | how chunks become deltas and the whole answer |
//! | `embeddings` | `POST embeddings` |
//! | `wire` | the shapes of replies, as loose as the servers are |
//! | `usage` | what was used, reported or estimated |
//! | `failure` | the table of errors: status and code to what to do |
//! | `fuzzing` | ways in for tests and fuzzers: replies of bytes in place of connections |

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{
    Client, Response,
    header::{ACCEPT, HeaderName, HeaderValue},
};
use schemas::{Action, ErrorCode};
use serde_json::Value;
use tokio::time::timeout_at;

use crate::{Adapter, Call, ConfigError, Error, Progressed, ProviderConfig, Remedy, deadline, http};

mod answer;
mod chat;
mod embeddings;
mod failure;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod settings;
mod usage;
mod wire;

use settings::Settings;

/// How long the body of an error may take: its status alone says enough.
const ERROR_BODY_WAIT: Duration = Duration::from_secs(2);

/// Fields of a payload that mean something to this engine only; a provider would refuse them.
const ENGINE_FIELDS: [&str; 1] = ["simulate"];

/// A provider behind OpenAI's API.
#[derive(Debug)]
pub struct OpenaiCompatible {
    settings: Arc<Settings>,
    client: Client,
}

impl OpenaiCompatible {
    /// Checks `config` and reads the key. Connects to nothing.
    pub fn new(name: &str, config: &ProviderConfig, client: Client) -> Result<Self, ConfigError> {
        let settings = Settings::new(name, config, |variable| std::env::var(variable).ok())?;
        Ok(Self { settings: Arc::new(settings), client })
    }

    /// Sends `body` and returns the reply once its headers say that the call was accepted.
    async fn post(
        &self,
        path: &str,
        accept: &'static str,
        call: &Call,
        body: Value,
    ) -> Result<Response, Error> {
        let mut request = self
            .client
            .post(self.settings.url(path))
            .headers(self.settings.headers.clone())
            .header(ACCEPT, accept)
            .body(body.to_string());
        let traceparent = call.traceparent.as_deref();
        for (name, value) in
            [("idempotency-key", Some(call.idempotency_key.as_str())), ("traceparent", traceparent)]
        {
            // Neither is worth failing the call for: what cannot be a header is left out.
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                request = request.header(HeaderName::from_static(name), value);
            }
        }
        let name = &self.settings.name;
        let response = timeout_at(call.deadline, request.send())
            .await
            .map_err(|_| deadline::exceeded(name))?
            .map_err(|error| http::unreachable(name, error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let until = call.deadline.min(tokio::time::Instant::now() + ERROR_BODY_WAIT);
        let body = timeout_at(until, http::read_error(response)).await.unwrap_or_default();
        Err(failure::of_status(&self.settings, status, &headers, &body))
    }
}

#[async_trait]
impl Adapter for OpenaiCompatible {
    fn name(&self) -> &str {
        &self.settings.name
    }

    async fn call(&self, call: Call) -> Result<Progressed, Error> {
        let progressed = match call.action {
            Action::ChatCompletion => {
                let ask = chat::Ask::new(&call);
                let response = self.post("chat/completions", ask.accept(), &call, ask.body(&call)).await?;
                chat::progress(Arc::clone(&self.settings), ask, response)
            }
            Action::EmbeddingQuery => {
                let ask = embeddings::Ask::new(&self.settings.name, &call)?;
                let response = self.post("embeddings", "application/json", &call, ask.body(&call)).await?;
                embeddings::progress(Arc::clone(&self.settings), ask, response)
            }
            other => {
                let why = format!("an openai_compatible provider does not do `{other}`");
                return Err(Error::new(self.name(), ErrorCode::InvalidRequest, Remedy::FallBack, why));
            }
        };
        Ok(deadline::bound(progressed, call.deadline, self.name()))
    }
}

/// The payload as it goes out: for `model`, without what concerns the engine alone.
fn outgoing(call: &Call) -> serde_json::Map<String, Value> {
    let mut body = call.payload.as_object().cloned().unwrap_or_default();
    ENGINE_FIELDS.iter().for_each(|field| drop(body.remove(*field)));
    body.insert("model".into(), call.model.as_str().into());
    body
}

/// The error of an answer that makes no sense; a second call may bring a better one.
fn nonsense(settings: &Settings, what: &str) -> Error {
    Error::new(&settings.name, ErrorCode::ProviderError, Remedy::Retry, settings.quote(what))
}
