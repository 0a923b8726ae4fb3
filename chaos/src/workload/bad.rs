//! What can be wrong with a request, so that it must be refused or parked, and never run.

use rand::{RngExt, rngs::StdRng};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::history::Door;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bad {
    /// It is no JSON.
    Garbage,
    /// It breaks off in the middle.
    Truncated,
    /// Its payload is missing.
    NoPayload,
    /// Its payload is a text.
    WrongPayload,
    /// It has no messages.
    NoMessages,
    /// Nobody serves its model.
    UnknownModel,
    /// Its deadline is 0.
    NoTime,
    /// Its body names another tenant than its door.
    ForeignTenant,
    /// Its callback goes nowhere.
    BadCallback,
    /// It is larger than a door takes. The bus takes it.
    Huge {
        /// The size of its filling.
        bytes: usize,
    },
}

impl Bad {
    /// What is wrong at every door.
    pub const EVERYWHERE: [Self; 9] = [
        Self::Garbage,
        Self::Truncated,
        Self::NoPayload,
        Self::WrongPayload,
        Self::NoMessages,
        Self::UnknownModel,
        Self::NoTime,
        Self::ForeignTenant,
        Self::BadCallback,
    ];

    pub(super) fn draw(random: &mut StdRng, door: Door, bytes: usize) -> Self {
        let at = random.random_range(0..=Self::EVERYWHERE.len());
        let other = if door == Door::Bus { Self::Garbage } else { Self::Huge { bytes } };
        Self::EVERYWHERE.get(at).copied().unwrap_or(other)
    }

    /// Spoils the body of a request, if its fault is in the fields.
    pub(super) fn spoil(self, body: &mut Value) {
        match self {
            Self::Garbage | Self::Truncated => {}
            Self::NoPayload => {
                if let Some(fields) = body.as_object_mut() {
                    fields.remove("payload");
                }
            }
            Self::WrongPayload => body["payload"] = json!("words"),
            Self::NoMessages => body["payload"] = json!({"model": body["payload"]["model"], "messages": []}),
            Self::UnknownModel => body["payload"]["model"] = json!("nobody-has-this"),
            Self::NoTime => body["deadline_ms"] = json!(0),
            Self::ForeignTenant => body["tenant"] = json!("somebody-else"),
            Self::BadCallback => body["callback"] = json!({"url": "ftp://nowhere.invalid/"}),
            Self::Huge { bytes } => body["payload"]["user"] = json!("x".repeat(bytes)),
        }
    }

    /// Spoils the bytes of a request, if its fault is not in the fields.
    pub(super) fn spoil_bytes(self, bytes: &mut Vec<u8>) {
        match self {
            // A byte that begins neither JSON nor a map of MessagePack.
            Self::Garbage => *bytes = b"\xc1 not a request".to_vec(),
            Self::Truncated => bytes.truncate(bytes.len() / 2),
            _ => {}
        }
    }
}
