//! JSON Schemas of the contract; printed by `dynode schema`.

use schemars::{Schema, schema_for};

use crate::{
    Backpressure, ChatRequest, DeadLetter, EmbeddingRequest, Error, Estimate, Event, Heartbeat, ImageRequest,
    KeyRecord, LedgerEntry, Outcome, Request, SearchRequest, SpeechRequest, UsageReport, VideoRequest,
};

/// Every public message by name, with its JSON Schema (draft 2020-12).
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("request", schema_for!(Request)),
        ("chat.completion", schema_for!(ChatRequest)),
        ("embedding.query", schema_for!(EmbeddingRequest)),
        ("image.generate", schema_for!(ImageRequest)),
        ("audio.synthesize", schema_for!(SpeechRequest)),
        ("video.render", schema_for!(VideoRequest)),
        ("media.search", schema_for!(SearchRequest)),
        ("event", schema_for!(Event)),
        ("outcome", schema_for!(Outcome)),
        ("error", schema_for!(Error)),
        ("key", schema_for!(KeyRecord)),
        ("ledger-entry", schema_for!(LedgerEntry)),
        ("usage", schema_for!(UsageReport)),
        ("estimate", schema_for!(Estimate)),
        ("backpressure", schema_for!(Backpressure)),
        ("heartbeat", schema_for!(Heartbeat)),
        ("dead-letter", schema_for!(DeadLetter)),
    ]
}
