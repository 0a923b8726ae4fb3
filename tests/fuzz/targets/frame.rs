//! WebSocket frames of clients, text and binary: read, or refused with a reason.

#![no_main]

use libfuzzer_sys::fuzz_target;
use schemas::{ErrorCode, Format};

/// The longest id that a refusal repeats.
const SHOWN_ID_BYTES_MAX: usize = 128;

fuzz_target!(|frame: &[u8]| {
    for format in [Format::Json, Format::MessagePack] {
        if let Err((id, error)) = gateway::fuzzing::frame(format, frame) {
            assert_eq!(error.code, ErrorCode::InvalidRequest);
            assert!(!error.message.is_empty());
            assert!(id.is_none_or(|id| id.len() <= SHOWN_ID_BYTES_MAX));
        }
    }
});
