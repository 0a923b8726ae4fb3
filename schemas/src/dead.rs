//! Parked work, and why it was parked; on `dynode.dead.<stage>.<tenant>.<id>`.

use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// A parked message: its content, verbatim, and why nobody could use it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// The version of the contract; 1.
    pub v: u8,
    /// The stage that parked it.
    pub stage: String,
    /// The subject on which it came; a replay publishes it there again.
    pub subject: String,
    /// Its `Content-Type`, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The message, byte for byte.
    #[schemars(with = "String")]
    pub body: Bytes,
    /// How many bytes are missing at the end of the message, because the broker takes no letter larger than its largest
    /// message. Such a letter cannot be replayed.
    #[serde(default, skip_serializing_if = "crate::outcome::is_zero")]
    pub missing_bytes: u64,
    /// Why it was parked.
    pub reason: Error,
    /// How often it had been delivered.
    pub deliveries: u32,
    /// When it was parked.
    pub parked_at: Timestamp,
}
