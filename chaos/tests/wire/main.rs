//! The simulators as a plain HTTP client meets them, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test ends where something does not hold, its helpers too")]

mod anthropic;
mod chat;
mod client;
mod embeddings;
mod faults;
mod gemini;
mod limits;
mod media;
mod ollama;
mod receiver;
mod refusals;
mod shutdown;
