//! Entry points for tests and fuzzers: they feed the readers of a provider's reply with bytes instead of a connection.
//! They decide nothing, and no program includes them.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::header::HeaderMap;
use schemas::Action;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::{MANNERS, chat::Chunks, embeddings};
use crate::{
    Call, ConfigError, Error, Finished, Progress,
    chat::{Ask, of_body, streamed},
    deadline, embeddings as vectors,
    endpoint::Endpoint,
    failure, http, sse,
};

/// The provider's key; no error may show it, whatever the provider says.
pub const KEY: &str = "sk-canary-0123456789";

/// How many texts the request for embeddings has.
pub const INPUTS: usize = 2;

/// How long a call may take; replies from memory need none of it.
const CALL_TIME: Duration = Duration::from_secs(60);

/// A provider that replies with the bytes of a test.
#[derive(Debug)]
pub struct Replies {
    endpoint: Arc<Endpoint>,
}

impl Replies {
    /// A provider with a key.
    ///
    /// # Errors
    /// None that a caller could fix: its own configuration is wrong.
    pub fn new() -> Result<Self, ConfigError> {
        let table = json!({"kind": "openai_compatible", "base_url": "https://api.test/v1", "models": {}, "api_key": KEY});
        let config =
            serde_json::from_value(table).map_err(|error| ConfigError::new("provider", error.to_string()))?;
        let client = http::client_builder()
            .build()
            .map_err(|error| ConfigError::new("provider", error.to_string()))?;
        Ok(Self { endpoint: Arc::new(Endpoint::new("p", &config, &MANNERS, client, |_| None)?) })
    }

    /// The events of a chat whose reply is a stream of these chunks. Must be called within a runtime with a clock.
    pub async fn streamed(&self, chunks: Vec<Bytes>) -> Vec<Result<Progress, Error>> {
        let ask = Ask::new(&call(Action::ChatCompletion, json!({"stream": true, "messages": []})));
        let frames = sse::read(stream::iter(chunks.into_iter().map(Ok::<_, Infallible>)));
        let progressed = streamed(Arc::clone(&self.endpoint), ask, Chunks::new(&self.endpoint), frames);
        deadline::bound(progressed, Instant::now() + CALL_TIME, "p").collect().await
    }

    /// The events of a chat whose reply is this body.
    #[must_use]
    pub fn whole(&self, body: &[u8]) -> Vec<Result<Progress, Error>> {
        let ask = Ask::new(&call(Action::ChatCompletion, json!({"stream": true, "messages": []})));
        of_body(&self.endpoint, &ask, Chunks::new(&self.endpoint), body)
    }

    /// The answer to a request for [`INPUTS`] embeddings whose reply is this body.
    ///
    /// # Errors
    /// If the body is no such answer.
    pub fn embeddings(&self, body: &[u8]) -> Result<Finished, Error> {
        let call = call(Action::EmbeddingQuery, json!({"model": "m", "input": vec!["text"; INPUTS]}));
        embeddings::read(&self.endpoint, vectors::Ask::new("p", &call)?.0, body)
    }

    /// The error of a reply that refuses the call.
    #[must_use]
    pub fn refusal(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Error {
        failure::of_status(&self.endpoint, status, headers, body)
    }
}

fn call(action: Action, payload: Value) -> Call {
    Call {
        action,
        model: "upstream".into(),
        payload,
        deadline: Instant::now() + CALL_TIME,
        idempotency_key: "k".into(),
        key: 0,
        traceparent: None,
        webhook: None,
    }
}

#[cfg(test)]
mod tests;
