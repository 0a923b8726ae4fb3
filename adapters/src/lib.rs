//! Provider adapters: each turns a call into a stream of events.
//!
//! | file | what it holds |
//! |---|---|
//! | [`adapter`] | the trait that providers implement, the call, the events |
//! | [`ability`] | what a model can do, and what a request needs |
//! | [`error`] | what went wrong, and the remedy: retry here, fall back, give up |
//! | [`config`] | a provider's configuration |
//! | [`price`] | a model's prices, and the cost of a call |
//! | [`registry`] | the configured providers, and which of them serve a model |
//! | [`egress`] | which addresses Dynode may call if an outsider names them |
//! | `deadline` | ends every stream at its deadline and after its last event |
//! | `joined` | joins pieces that arrive together |
//! | [`http`] | the one HTTP client: timeouts, no redirects, no secrets in errors |
//! | `endpoint` | a provider over HTTP: its base URL, its keys, and how a call is sent |
//! | `files` | turns the bytes of a file into pieces |
//! | `failure` | the table of errors: what a provider's refusal means, and the remedy |
//! | `chat` | reads chat answers of every provider, and chat questions for the adapters that translate them |
//! | `counts` | which of the usage counts that providers report are plausible |
//! | `embeddings` | requests and returns vectors, for every provider |
//! | [`sse`], `lines` | cut a provider's stream into frames, with limits |
//! | [`retry_after`], [`limits`] | how long a provider asks us to wait, and what is left of its limits |
//! | [`simulated`] | an in-process provider: seeded, no key, any pace, any failure |
//! | [`openai_compatible`] | any server that speaks OpenAI's API |
//! | [`anthropic`] | Anthropic's Messages API, and the rules of translation |
//! | [`gemini`] | Google's Gemini API |
//! | [`ollama`] | Ollama's own API |
//! | [`dynamic`] | a provider described by a file: requests, replies and errors are configuration |
//!
//! An adapter knows neither the broker nor the actors.

pub mod ability;
pub mod adapter;
pub mod anthropic;
mod chat;
pub mod config;
mod counts;
mod deadline;
pub mod dynamic;
pub mod egress;
mod embeddings;
mod endpoint;
pub mod error;
mod failure;
mod files;
pub mod gemini;
pub mod http;
mod joined;
pub mod limits;
mod lines;
pub mod ollama;
pub mod openai_compatible;
pub mod price;
pub mod registry;
pub mod retry_after;
pub mod simulated;
pub mod sse;

pub use ability::{Abilities, Lack, Needs};
pub use adapter::{Adapter, Call, FilePiece, Finished, Progress, Progressed, Webhook};
pub use anthropic::Anthropic;
pub use chat::estimate;
pub use config::{Adaptive, Kind, ModelConfig, ProviderConfig};
pub use dynamic::Dynamic;
pub use error::{Error, KeyFault, Remedy};
pub use gemini::Gemini;
pub use limits::{Left, Limits};
pub use ollama::Ollama;
pub use openai_compatible::OpenaiCompatible;
pub use price::Price;
pub use registry::{ConfigError, Model, Registry, Webhooks};
pub use simulated::Simulated;
