//! Whoever tries to break Dynode, and whoever tells whether it broke.
//!
//! All but the simulation see Dynode from outside, on the wire: what they find holds for every build of it.

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
