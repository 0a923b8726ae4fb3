//! An entry point for fuzzers: the parser of WebSocket frames, fed with bytes instead of a socket. It decides nothing,
//! and no program contains it.

use schemas::{Error, Format};

use crate::ws::incoming;

/// Parses one frame of a client; the error comes with the id to repeat to the client.
///
/// # Errors
/// If the frame cannot be used.
pub fn frame(format: Format, bytes: &[u8]) -> Result<(), (Option<String>, Error)> {
    incoming::parse(format, bytes).map(drop).map_err(|unusable| (unusable.id, unusable.error))
}
