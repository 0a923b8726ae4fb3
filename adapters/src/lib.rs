//! Providers: a call goes in, a stream of events comes out.
//!
//! | file | what it holds |
//! |---|---|
//! | [`adapter`] | the trait, the call, the events |
//! | [`error`] | what went wrong, and what to do about it: retry here, fall back, give up |
//! | [`config`] | how a provider is configured |
//! | [`registry`] | the configured providers, and which of them serves a model |
//! | `deadline` | nothing comes after the deadline, nor after the end |
//! | [`http`] | the one HTTP client: time limits, no redirects, no secrets in errors |
//! | `endpoint` | a provider over HTTP: where its API is, its key, and how a call is sent there |
//! | `failure` | the table of errors: what a provider's refusal means, and what to do about it |
//! | `chat` | how a chat answer is read, whoever sends it |
//! | [`sse`], `lines` | how foreign servers cut a stream into frames, with limits |
//! | [`retry_after`] | when a server wants to be asked again |
//! | [`simulated`] | a provider in this process: seeded, no key, any pace, any failure |
//! | [`openai_compatible`] | any server that speaks OpenAI's API |
//! | [`dynamic`] | a provider by a file: requests, replies and errors are configuration |
//!
//! An adapter knows no broker and no actor.

pub mod adapter;
mod chat;
pub mod config;
mod deadline;
pub mod dynamic;
mod endpoint;
pub mod error;
mod failure;
pub mod http;
mod lines;
pub mod openai_compatible;
pub mod registry;
pub mod retry_after;
pub mod simulated;
pub mod sse;

pub use adapter::{Adapter, Call, FilePiece, Finished, Progress, Progressed};
pub use config::{Kind, ModelConfig, ProviderConfig};
pub use dynamic::Dynamic;
pub use error::{Error, Remedy};
pub use openai_compatible::OpenaiCompatible;
pub use registry::{ConfigError, Model, Registry};
pub use simulated::Simulated;
