//! The doors over real sockets: a bound gateway, the memory broker, and a worker that says what a test wants to hear.

#![expect(clippy::unwrap_used, reason = "in a test a failed step is the end of it")]

mod admission;
mod assets;
mod chat;
mod client;
mod dead;
mod embeddings;
mod estimate;
mod events;
mod keys;
mod limits;
mod linger;
mod native;
mod quota;
mod rig;
mod socket;
mod usage;
mod webhooks;
mod worker;
