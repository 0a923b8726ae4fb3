//! The messages of the contract: requests, events, outcomes and the tables about them.
//!
//! Pure data. This crate knows no runtime, no broker, no provider and no socket; every other crate imports it.
//!
//! | file | what it holds |
//! |---|---|
//! | [`token`] | [`Tenant`], [`RequestId`] and [`KeyId`]: validated subject tokens |
//! | [`key`] | API keys: their text, and the record that is kept of them |
//! | [`subject`] | every subject of the contract as a typed constructor |
//! | [`action`] | the kinds of work and the check of a payload against its action |
//! | [`request`], [`work`] | what a publisher sends, what a worker receives |
//! | [`event`], [`outcome`] | the events of a request on its way, how it ends |
//! | [`parents`] | what tenants belong to |
//! | [`ledger`], [`usage`] | what each request used and cost; sums over that |
//! | [`estimate`] | what a request would cost |
//! | [`chat`], [`embedding`], [`media`] | payloads and outputs, by action |
//! | [`error`] | the one table of error codes |
//! | [`socket`] | the frames of the WebSocket besides requests and events |
//! | [`heartbeat`], [`dead`] | signals of the engine, parked work |
//! | [`target`] | where callbacks go, and how these targets answered |
//! | [`census`] | the state of the pools by their heartbeats: which nodes live, how long work waits |
//! | [`webhook`], [`signature`] | where providers report the end of long work, and signatures by Standard Webhooks |
//! | [`codec`] | JSON and MessagePack, detected and checked to the last byte |
//! | [`export`] | JSON Schemas of all of the above |
//!
//! **Versioning.** `v` is 1. Readers ignore unknown fields; a new field is optional; a changed meaning is a new `v`.

pub mod action;
pub mod census;
pub mod chat;
pub mod codec;
pub mod dead;
pub mod embedding;
pub mod error;
pub mod estimate;
pub mod event;
pub mod export;
pub mod fingerprint;
pub mod heartbeat;
pub mod key;
pub mod ledger;
pub mod media;
pub mod outcome;
pub mod parents;
pub mod request;
pub mod secret;
pub mod signature;
pub mod socket;
pub mod subject;
pub mod target;
pub mod token;
pub mod usage;
pub mod webhook;
pub mod work;

pub use action::Action;
pub use census::{Census, Load, PoolState};
pub use chat::{ChatDelta, ChatOutput, ChatRequest};
pub use codec::Format;
pub use dead::DeadLetter;
pub use embedding::{EmbeddingOutput, EmbeddingRequest};
pub use error::{Error, ErrorCode};
pub use estimate::{Estimate, EstimatedStep, LeftOut};
pub use event::{Event, EventBody, EventHead};
pub use heartbeat::{AsideKey, Backpressure, Flow, Governing, Heartbeat};
pub use key::{ApiKey, BadKey, CallerLimits, KeyBudget, KeyMode, KeyRecord, Per, Role, SentBy};
pub use ledger::{LedgerEntry, LedgerLine};
pub use media::{Asset, AssetRecord, ImageRequest, MediaOutput, SearchRequest, SpeechRequest, VideoRequest};
pub use outcome::{AttemptRecord, Outcome, Output, Status, Timings, Usage};
pub use parents::Parents;
pub use request::{Callback, MidstreamFailure, Prefer, Priority, Request, Route, Unanswered};
pub use secret::Secret;
pub use socket::{SocketControl, SocketEvent, SocketRequest};
pub use subject::{LaneKind, Subjects};
pub use target::Target;
pub use token::{InvalidToken, KeyId, RequestId, Tenant};
pub use usage::{Dimension, UsageKey, UsageReport, UsageRow, UsageSum};
pub use work::{CallbackJob, Closing, Plan, Step, Work};

/// The version of the contract that this build writes.
pub const VERSION: u8 = 1;
