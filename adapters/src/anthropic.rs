//! Anthropic's Messages API: translates a chat, and translates the answer back.
//!
//! | file | what it holds |
//! |---|---|
//! | `version` | the version of the API: where the key goes, whether it takes a temperature |
//! | `payload` | the part of the chat-completions body that this adapter reads |
//! | `request` | `POST messages`: the body |
//! | `conversation` | translates messages into turns, and their parts into blocks |
//! | `media` | images and documents inside a message |
//! | `tools` | the offered tools, and which of them to call |
//! | `reply` | reads the events of a stream, and whole replies |
//! | `wire` | the shapes of replies |
//! | `usage` | the usage that the API reports |
//! | `fuzzing` | entry points for tests and fuzzers |
//!
//! These rules, and no others, cover what is not sent as it is. *Refused* means that the waterfall goes on to the next
//! provider.
//!
//! | in the payload | rule |
//! |---|---|
//! | `system` and `developer` messages | all of them, in order, become `system`, wherever they stood |
//! | consecutive messages of one side, tool results included | one turn |
//! | empty texts | left out: the API takes none |
//! | a last message of the assistant | sent without trailing white space: the answer continues it, if the model can |
//! | earlier `reasoning` of the assistant | left out: the API takes none without its signature |
//! | signed or redacted thinking before tool calls | carried in the call's id, which the client sends back unchanged |
//! | thinking that comes back in an id | given to the model that had it, unless thinking is off; none above 64 KiB |
//! | ids of tool calls | every character but letters, digits, `_` and `-` becomes `_` |
//! | images | data URIs of JPEG, PNG, GIF, WebP and http(s) URLs; others refused. `detail` left out |
//! | files | PDF and text as data URIs; others, and ids of files, refused |
//! | `max_completion_tokens`, `max_tokens` | `max_tokens`, which the API demands: 16,384 if none is given |
//! | `temperature`, `top_p`, `top_k` | sent under an earlier version, a temperature over 1 as 1; left out under 2026-10-21, which refuses them, and beside thinking |
//! | `reasoning_effort` | `none` turns thinking off; `minimal` is `low`; another becomes `output_config.effort`, with adaptive thinking, summarized, unless a tool must be called |
//! | `thinking`, `cache_control` (also on parts, tools and calls) | Anthropic's own: sent as they are |
//! | `cache_control` on a message | set on its last block; on a tool's message, set on the result |
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
        // `why` quotes the client's text, which may be long.
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
