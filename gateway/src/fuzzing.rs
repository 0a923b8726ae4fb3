//! A way in for fuzzers: the reader of WebSocket frames, fed with bytes in place of a socket. It decides nothing, and
//! stands in no program.

use schemas::{Error, Format};

use crate::ws::incoming;

/// Reads one frame of a client; the error comes with the id that is repeated to its sender.
///
/// # Errors
/// When the frame cannot be used.
pub fn frame(format: Format, bytes: &[u8]) -> Result<(), (Option<String>, Error)> {
    incoming::parse(format, bytes).map(drop).map_err(|unusable| (unusable.id, unusable.error))
}
