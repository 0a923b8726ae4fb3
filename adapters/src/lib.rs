//! Providers: a call goes in, a stream of events comes out.
//!
//! | file | what it holds |
//! |---|---|
//! | [`adapter`] | the trait, the call, the events |
//! | [`ability`] | what a model can do, and what a request needs |
//! | [`error`] | what went wrong, and what to do about it: retry here, fall back, give up |
//! | [`config`] | how a provider is configured |
//! | [`price`] | what a model costs, and what a call has cost |
//! | [`registry`] | the configured providers, and which of them serves a model |
//! | [`egress`] | which addresses may be called that strangers name |
//! | `deadline` | nothing comes after the deadline, nor after the end |
//! | `joined` | pieces that come at once are one |
//! | [`http`] | the one HTTP client: time limits, no redirects, no secrets in errors |
//! | `endpoint` | a provider over HTTP: where its API is, its key, and how a call is sent there |
//! | `files` | how the bytes of a file become pieces |
//! | `failure` | the table of errors: what a provider's refusal means, and what to do about it |
//! | `chat` | how a chat answer is read, whoever sends it; how a question is read, for those who say it in other words |
//! | `counts` | what is believed of what providers say was used |
//! | `embeddings` | how vectors are handed on, whoever makes them |
//! | [`sse`], `lines` | how foreign servers cut a stream into frames, with limits |
//! | [`retry_after`], [`limits`] | when a server wants to be asked again, and how much it will still do |
//! | [`simulated`] | a provider in this process: seeded, no key, any pace, any failure |
//! | [`openai_compatible`] | any server that speaks OpenAI's API |
//! | [`anthropic`] | Anthropic's Messages API, and the rules of what crosses to it |
//! | [`gemini`] | Google's Gemini API |
//! | [`ollama`] | Ollama by its own API |
//! | [`dynamic`] | a provider by a file: requests, replies and errors are configuration |
//!
//! An adapter knows no broker and no actor.

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
