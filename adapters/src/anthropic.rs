//! Anthropic's Messages API: a chat goes out translated, and its answer comes back in our own words.
//!
//! | file | what it holds |
//! |---|---|
//! | `version` | the version of the API: where the key goes, whether it takes a temperature |
//! | `payload` | the part of the chat-completions body that is read |
//! | `request` | `POST messages`: the body |
//! | `conversation` | messages become turns, and their parts blocks |
//! | `media` | images and documents inside a message |
//! | `tools` | the tools that are offered, and which of them to call |
//! | `reply` | what the events of a stream and a whole reply mean |
//! | `wire` | the shapes of replies |
//! | `usage` | what was used, as reported |
//! | `fuzzing` | ways in for tests and fuzzers |
//!
//! What does not cross as it is follows these rules, and nothing else does. *Refused* means that the waterfall goes on
//! to the next provider.
//!
//! | in the payload | rule |
//! |---|---|
//! | `system` and `developer` messages | all of them, in order, become `system`, wherever they stood |
//! | messages of one side in a row, tool results included | one turn |
//! | empty texts | left out: the API takes none |
//! | a last message of the assistant | sent as it is, without white space at its end: the answer goes on from there, where the model can |
//! | earlier `reasoning` of the assistant | left out: without its signature the API takes none |
//! | thinking before calls of tools, with its signature, and what is redacted of it | carried in the id of the call, which the client sends back as it came; given back to the model that had it, unless thinking is turned off. More than 64 KiB is left out |
//! | ids of tool calls | every character but letters, digits, `_` and `-` becomes `_` |
//! | images | data URIs of JPEG, PNG, GIF, WebP and http(s) URLs; others refused. `detail` left out |
//! | files | PDF and text as data URIs; others, and ids of files, refused |
//! | `max_completion_tokens`, `max_tokens` | `max_tokens`, which the API demands: 16,384 where none is given |
//! | `temperature`, `top_p`, `top_k` | sent under an earlier version, a temperature over 1 as 1; left out under 2026-10-21, which refuses them, and beside thinking |
//! | `reasoning_effort` | `none` turns thinking off; `minimal` is `low`; another becomes `output_config.effort`, with adaptive thinking, summarized, unless a tool must be called |
//! | `thinking`, `cache_control` (also on parts, tools and calls) | Anthropic's own: sent as they are; that of a message stands on its last block, that of a tool's on the result |
//! | `response_format` | `json_schema` becomes `output_config.format`; `json_object` refused: the API has no JSON without a schema |
//! | `tools` | functions; others refused |
//! | `tool_choice`, `parallel_tool_calls` | translated; `allowed_tools` refused |
//! | `user` | `metadata.user_id` |
//! | `n` over 1, `logprobs`, audio, `functions`, `web_search_options` | refused |
//! | `seed`, `frequency_penalty`, `presence_penalty`, `logit_bias`, `prediction`, `verbosity`, `service_tier`, `store`, `metadata` and all others | left out: they only tune, or mean nothing there |

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Client;
use schemas::Action;

use crate::{
    Adapter, Call, ConfigError, Error, Progressed, ProviderConfig, Remedy,
    chat::{Ask, Framing, Origin, progress},
    deadline,
    endpoint::Endpoint,
    joined,
};

mod conversation;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod media;
mod payload;
mod reply;
mod request;
mod tools;
mod usage;
mod version;
mod wire;

use payload::Payload;
use version::Version;

/// A provider behind Anthropic's API.
#[derive(Debug)]
pub struct Anthropic {
    endpoint: Arc<Endpoint>,
    version: Version,
}

impl Anthropic {
    /// Checks `config` and reads the key. Connects to nothing.
    pub fn new(name: &str, config: &ProviderConfig, client: Client) -> Result<Self, ConfigError> {
        let version = Version::of(config);
        let endpoint = Endpoint::open(name, config, version.manners(), client)?;
        Ok(Self { endpoint, version })
    }

    async fn chat(&self, call: &Call) -> Result<Progressed, Error> {
        let ask = Ask::new(call);
        let payload = Payload::read(&call.payload)
            .map_err(|error| Error::new(self.name(), error.code, Remedy::Fatal, error.message))?;
        // What the sender wrote is quoted, and may be long.
        let origin = Origin::new(&self.endpoint.name, &ask.model);
        let body = request::body(&ask, payload, self.version, &origin)
            .map_err(|why| self.endpoint.cannot(&self.endpoint.quote(&why)))?;
        let accept = if ask.streamed { "text/event-stream" } else { "application/json" };
        let response = self.endpoint.post("messages", accept, call, &body).await?;
        let decoder = reply::Events::new(&self.endpoint, origin);
        Ok(progress(Arc::clone(&self.endpoint), ask, decoder, Framing::Events, response))
    }
}

#[async_trait]
impl Adapter for Anthropic {
    fn name(&self) -> &str {
        &self.endpoint.name
    }

    fn keys(&self) -> usize {
        self.endpoint.keys()
    }

    async fn call(&self, call: Call) -> Result<Progressed, Error> {
        let progressed = match call.action {
            Action::ChatCompletion => self.chat(&call).await?,
            other => {
                return Err(self.endpoint.cannot(&format!("an anthropic provider does not do `{other}`")));
            }
        };
        Ok(deadline::bound(joined::join(progressed), call.deadline, self.name()))
    }
}
