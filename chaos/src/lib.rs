//! The chaos harness: what tries to break Dynode, and what tells whether it broke.
//!
//! Everything but the simulation sees Dynode from outside, on the wire: its findings hold for every build.

pub mod bench;
pub mod checker;
mod connections;
mod fingerprint;
pub mod guarantee;
pub mod history;
mod journal;
pub mod parity;
pub mod provider;
pub mod proxy;
pub mod receiver;
pub mod report;
pub mod run;
pub mod scribe;
pub mod simulation;
pub mod workload;

pub use guarantee::Guarantee;
pub use journal::{Journal, Snapshot};
