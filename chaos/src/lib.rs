//! Dynode seen from outside: the simulated provider that it calls and the receiver that it calls back.
//! Nothing here may know the engine; the two meet only on the wire.

mod connections;
mod fingerprint;
mod journal;
pub mod provider;
pub mod receiver;

pub use journal::{Journal, Snapshot};
