//! Google's Gemini API: translates OpenAI's chat body, and translates the answer back.
//!
//! | in the body | at Gemini |
//! |---|---|
//! | `system` and `developer` messages, wherever they stand | `systemInstruction`, in their order |
//! | `user`, `assistant`, `tool` messages | `contents`; neighbours of one role become one, as Gemini requires |
//! | images, audio and files as `data:` URIs | `inlineData` |
//! | images by `https:` URL, files by id | refused: Dynode fetches nothing for a client; give them inside the message |
//! | `tools`, `tool_choice` | `functionDeclarations`, `functionCallingConfig`; `strict` is dropped: Gemini has no such mode |
//! | `parallel_tool_calls: false` with tools | refused: nothing keeps Gemini from parallel calls |
//! | `max_completion_tokens`, `temperature`, `top_p`, `top_k`, `n`, `seed`, `stop`, both penalties, `logprobs`, `top_logprobs` | `generationConfig` |
//! | `response_format` | `responseMimeType`, `responseJsonSchema` |
//! | `reasoning_effort` | `thinkingConfig`: a level, or a budget before Gemini 3; the answer then shows thoughts |
//! | `generationConfig`, `safetySettings`, `cachedContent` | as they come; they override the rows above |
//! | `reasoning_content` of earlier answers | dropped: Gemini takes thoughts back only as signatures |
//! | hints on accounting and caching (`user`, `store`, `prompt_cache_key`, …) | dropped |
//! | any other field | refused by name |
//!
//! A thought signature belongs to a tool call and must come back with it. It travels in the call's id (`signature`), so
//! the client that keeps the conversation keeps it too. Signatures on texts are dropped, which Gemini allows.
//!
//! If Gemini withholds an answer, the answer has a `refusal` and the reason `content_filter`; if Gemini fails, that is
//! an error. Images and executed code in an answer are errors: a chat answer has no place for them.
//!
//! | file | what it holds |
//! |---|---|
//! | `request` | the body of a chat |
//! | `conversation` | translates messages into contents |
//! | `tools` | tools, and which of them the model may call |
//! | `signature` | call ids that carry a signature |
//! | `reply` | reads an answer, whole or streamed |
//! | `wire` | the shapes of replies |
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

mod conversation;
mod embeddings;
mod reply;
mod request;
mod signature;
mod tools;
mod wire;

pub(crate) const MANNERS: Manners = Manners {
    kind: "a gemini provider",
    base_url: Some("https://generativelanguage.googleapis.com/v1beta"),
    key: KeyPlace::Header("x-goog-api-key"),
    variable: Some("GEMINI_API_KEY"),
    headers: &[],
};

/// The Gemini API.
#[derive(Debug)]
pub struct Gemini {
    endpoint: Arc<Endpoint>,
}

impl Gemini {
    /// Checks `config` and reads the key. Connects to nothing.
    pub fn new(name: &str, config: &ProviderConfig, client: Client) -> Result<Self, ConfigError> {
        let endpoint = Endpoint::open(name, config, &MANNERS, client)?;
        Ok(Self { endpoint })
    }

    async fn chat(&self, call: &Call) -> Result<Progressed, Error> {
        let ask = Ask::new(call);
        let body = request::body(&self.endpoint, call)?;
        let (method, accept) = if ask.streamed {
            ("streamGenerateContent?alt=sse", "text/event-stream")
        } else {
            ("generateContent", "application/json")
        };
        let path = format!("{}:{method}", resource(&call.model));
        let response = self.endpoint.post(&path, accept, call, &body).await?;
        let decoder = reply::Chunks::new(&self.endpoint, &call.idempotency_key);
        // By lines, not by events: an error in a stream comes as bare JSON.
        Ok(progress(Arc::clone(&self.endpoint), ask, decoder, Framing::Lines, response))
    }

    async fn embeddings(&self, call: &Call) -> Result<Progressed, Error> {
        let (ask, request) = vectors::Ask::new(&self.endpoint.name, call)?;
        let body = embeddings::body(&self.endpoint, call, &request)?;
        let path = format!("{}:batchEmbedContents", resource(&call.model));
        let response = self.endpoint.post(&path, "application/json", call, &body).await?;
        let shortened = request.dimensions.is_some();
        let read = move |endpoint: &Endpoint, reply: &[u8]| embeddings::read(endpoint, ask, shortened, reply);
        Ok(vectors::progress(Arc::clone(&self.endpoint), response, read))
    }
}

#[async_trait]
impl Adapter for Gemini {
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
            other => return Err(self.endpoint.cannot(&format!("a gemini provider does not do `{other}`"))),
        };
        Ok(deadline::bound(joined::join(progressed), call.deadline, self.name()))
    }
}

/// A model's name as a path; a tuned one has a collection of its own.
fn resource(model: &str) -> String {
    if model.contains('/') { model.to_owned() } else { format!("models/{model}") }
}

/// Whether the model is older than Gemini 3: it knows no thinking levels and requires no signatures.
fn is_before_gemini_3(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    ["gemini-1", "gemini-2"].iter().any(|older| name.starts_with(older))
}
