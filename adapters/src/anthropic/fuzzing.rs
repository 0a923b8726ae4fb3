//! Entry points for tests and fuzzers: they feed the readers of an answer with bytes instead of a connection. They
//! decide nothing, and no program includes them.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use schemas::Action;
use serde_json::json;
use tokio::time::{Duration, Instant};

use super::{reply::Events, version::Version};
use crate::{
    Call, ConfigError, Error, Progress,
    chat::{Ask, Origin, of_body, streamed},
    deadline,
    endpoint::Endpoint,
    http, sse,
};

/// The provider's key; no error may show it, whatever the provider says.
pub const KEY: &str = "sk-canary-0123456789";

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
        let wrong = |error: String| ConfigError::new("provider", error);
        let table = json!({"kind": "anthropic", "models": {}, "api_key": KEY});
        let config = serde_json::from_value(table).map_err(|error| wrong(error.to_string()))?;
        let client = http::client_builder().build().map_err(|error| wrong(error.to_string()))?;
        let manners = Version::of(&config).manners();
        Ok(Self { endpoint: Arc::new(Endpoint::new("p", &config, manners, client, |_| None)?) })
    }

    /// The events of a chat whose reply is a stream of these chunks. Must be called within a runtime with a clock.
    pub async fn streamed(&self, chunks: Vec<Bytes>) -> Vec<Result<Progress, Error>> {
        let frames = sse::read(stream::iter(chunks.into_iter().map(Ok::<_, Infallible>)));
        let decoder = Events::new(&self.endpoint, origin());
        let progressed = streamed(Arc::clone(&self.endpoint), ask(), decoder, frames);
        deadline::bound(progressed, Instant::now() + CALL_TIME, "p").collect().await
    }

    /// The events of a chat whose reply is this body.
    #[must_use]
    pub fn whole(&self, body: &[u8]) -> Vec<Result<Progress, Error>> {
        of_body(&self.endpoint, &ask(), Events::new(&self.endpoint, origin()), body)
    }
}

fn origin() -> Origin {
    Origin::new("p", "upstream")
}

fn ask() -> Ask {
    let messages = json!([{"role": "user", "content": "12345678"}]);
    Ask::new(&Call {
        action: Action::ChatCompletion,
        model: "upstream".into(),
        payload: json!({"stream": true, "messages": messages}),
        deadline: Instant::now() + CALL_TIME,
        idempotency_key: "k".into(),
        key: 0,
        traceparent: None,
        webhook: None,
    })
}
