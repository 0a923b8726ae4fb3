//! The doors over real sockets: a bound gateway, the memory broker, and a worker that says what a test wants to hear.

#![expect(clippy::unwrap_used, reason = "in a test a failed step is the end of it")]

mod admission;
mod assets;
mod browsers;
mod chat;
mod client;
mod cost;
mod dead;
mod embeddings;
mod estimate;
mod events;
mod exposed;
mod feedback;
mod filing;
mod flow;
mod hostile;
mod keys;
mod limits;
mod linger;
mod messages;
mod native;
mod questions;
mod quota;
mod responses;
mod rig;
mod sessions;
mod socket;
mod targets;
mod usage;
mod webhooks;
mod worker;
