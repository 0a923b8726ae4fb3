//! Streams in the room that the server has. What a stream may hold is set aside for it when it is made, and a server with a
//! small disk refuses: then every stream gets the same smaller share of what it is set to hold.

use super::{connection::Connection, streams};
use crate::{Error, ErrorKind, StreamSpec};

/// A stream is never made smaller than this for want of room: with less it would be full at once.
const BYTES_MIN: u64 = 16 << 20;
/// The smallest share that is tried: one part in so many.
const PARTS_MAX: u64 = 128;

/// Makes sure of all `wanted` streams, as large as the server has room for; says how large that is. It begins with the
/// whole, so that room which has come since is used.
pub(super) async fn fit(
    connection: &Connection,
    wanted: &[StreamSpec],
    replicas: usize,
) -> Result<Vec<StreamSpec>, Error> {
    let mut parts = 1;
    loop {
        let fitted: Vec<_> = wanted.iter().map(|spec| part_of(spec, parts)).collect();
        match all(connection, &fitted, replicas).await {
            Ok(()) => {
                if parts > 1 {
                    tracing::warn!(
                        "the broker has not the room that the streams are set to take: each takes one part in {parts} \
                         of it; give the server more storage, or lower streams.stream_bytes_max and \
                         assets.store_bytes_max"
                    );
                }
                return Ok(fitted);
            }
            Err(error) if error.kind() == ErrorKind::Full && parts < PARTS_MAX => parts *= 2,
            Err(error) => return Err(error),
        }
    }
}

async fn all(connection: &Connection, specs: &[StreamSpec], replicas: usize) -> Result<(), Error> {
    for spec in specs {
        streams::ensure(connection, spec, replicas, None).await?;
    }
    Ok(())
}

/// `spec` with one part in `parts` of its bytes.
fn part_of(spec: &StreamSpec, parts: u64) -> StreamSpec {
    let bytes_max = spec.bytes_max.map(|bytes| (bytes / parts).max(bytes.min(BYTES_MIN)));
    StreamSpec { bytes_max, ..spec.clone() }
}
