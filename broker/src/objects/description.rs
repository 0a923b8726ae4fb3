//! The description of an object: the fields that every NATS client reads and writes, and where its pieces are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::PIECE_BYTES;

/// The place of one piece in this many is written down, so that a read begins fewer than this many pieces too early.
pub(super) const STRIDE: u64 = 8;
/// The name of our note in the metadata.
const NOTE: &str = "note";

/// An object's description, as stored on a subject of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) name: String,
    bucket: String,
    /// Identifies the write, and with it the subject of the pieces.
    pub(super) nuid: String,
    pub(super) size: u64,
    pub(super) chunks: u64,
    mtime: Option<Timestamp>,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    pub(super) deleted: bool,
    #[serde(default)]
    metadata: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    options: Options,
    /// The sequences of every [`STRIDE`]th piece: only we write them, other clients ignore them.
    #[serde(default)]
    pub(super) places: Vec<u64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Options {
    max_chunk_size: Option<u64>,
}

/// The parts of a description that the write determines.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) nuid: String,
    pub(super) size: u64,
    pub(super) chunks: u64,
    pub(super) digest: String,
    pub(super) places: Vec<u64>,
}

impl Description {
    pub(super) fn new(bucket: &str, key: &str, note: String, written: Written, now: Timestamp) -> Self {
        let Written { nuid, size, chunks, digest, places } = written;
        Self {
            name: key.to_owned(),
            bucket: bucket.to_owned(),
            nuid,
            size,
            chunks,
            mtime: Some(now),
            digest,
            deleted: false,
            metadata: [(NOTE.to_owned(), note)].into(),
            options: Options { max_chunk_size: Some(PIECE_BYTES as u64) },
            places,
        }
    }

    /// The length of each piece except the last; objects of other clients may have another piece length.
    pub(super) fn piece_bytes(&self) -> u64 {
        self.options.max_chunk_size.filter(|bytes| *bytes > 0).unwrap_or(PIECE_BYTES as u64)
    }
}

/// What is known about an object.
#[derive(Debug, Clone)]
pub struct ObjectInfo {
    pub(super) description: Description,
}

impl ObjectInfo {
    /// Its key.
    pub fn key(&self) -> &str {
        &self.description.name
    }

    /// How long it is, in bytes.
    pub const fn bytes(&self) -> u64 {
        self.description.size
    }

    /// Its writer's note; empty if there is none.
    pub fn note(&self) -> &str {
        self.description.metadata.get(NOTE).map_or("", String::as_str)
    }
}

impl From<Description> for ObjectInfo {
    fn from(description: Description) -> Self {
        Self { description }
    }
}
