//! Durable messaging: one [`Broker`] trait, implemented on JetStream and by a deterministic in-memory broker.
//!
//! | file | what it holds |
//! |---|---|
//! | [`broker`] | the trait: publish, send, subscribe, consume, read back |
//! | [`message`] | messages, headers, receipts |
//! | [`lease`] | an unsettled message and the four ways to settle it |
//! | [`objects`] | large values in small pieces, over streams |
//! | [`topology`] | the streams and consumers of the contract, as data |
//! | [`jetstream`] | a NATS server with JetStream |
//! | [`memory`] | the same behaviour in this process; the caller supplies its clock, randomness and faults |
//! | [`managed`] | a `nats-server` as a child process |
//! | [`trace`] | W3C trace context in message headers |
//! | [`secrets`] | the installation's keys |
//! | [`seams`] | time, randomness and ids, passed in |
//!
//! The NATS client's types never leave this crate, and it knows no actors, no providers and no HTTP.

pub mod broker;
pub mod error;
pub mod jetstream;
pub mod lease;
pub mod managed;
pub mod memory;
pub mod message;
pub mod objects;
pub mod seams;
pub mod secrets;
mod subject;
#[cfg(feature = "testing")]
pub mod testing;
pub mod topology;
pub mod trace;

pub use broker::{Broker, Bucket, Change, Description, Link, Replay, Subscription};
pub use error::{Error, ErrorKind};
pub use lease::{Consumer, Lease, Settle, Settlement};
pub use message::{Headers, Message, Publication, Receipt, Stored};
pub use objects::{ObjectInfo, Objects, ObjectsSpec};
pub use seams::{Clock, Random, Seams};
pub use topology::{
    AssetLimits, Bells, BucketSpec, CANCELS_AGE, CANCELS_MAX, ConsumerSpec, Limits, Retention, Storage,
    StreamSpec, Topology,
};
