//! Streams in the room that the server has. What a stream may hold is set aside for it when it is made, and a server with a
//! small disk refuses: then all streams that are missing are made by the same part smaller. Those that are there keep what
//! they have, and grow to what they are set to hold where there is room.

use super::{connection::Connection, streams};
use crate::{Error, ErrorKind, Storage, StreamSpec};

/// A stream is never made smaller than this for want of room: with less it would be full at once.
const BYTES_MIN: u64 = 16 << 20;
/// The smallest part that is tried: one in so many.
const PARTS_MAX: u64 = 128;

/// Makes sure of all `wanted` streams; says whether any had to be made. One that is made counts its messages from `first`.
pub(super) async fn fit(
    connection: &Connection,
    wanted: &[StreamSpec],
    replicas: usize,
    first: Option<u64>,
) -> Result<bool, Error> {
    let (mut missing, mut there) = (Vec::new(), Vec::new());
    for spec in wanted {
        match streams::info(connection, &spec.name).await {
            Ok(_) => there.push(spec),
            Err(error) if error.kind() == ErrorKind::NotFound => missing.push(spec),
            Err(error) => return Err(error),
        }
    }
    // Before any other takes the room to grow.
    for storage in [Storage::File, Storage::Memory] {
        let missing: Vec<_> = missing.iter().filter(|spec| spec.storage == storage).collect();
        make(connection, &missing, replicas, first).await?;
    }
    for spec in there {
        streams::ensure(connection, spec, replicas, first).await?;
    }
    Ok(!missing.is_empty())
}

/// Makes streams as large as there is room for.
async fn make(
    connection: &Connection,
    missing: &[&&StreamSpec],
    replicas: usize,
    first: Option<u64>,
) -> Result<(), Error> {
    let mut parts = 1;
    loop {
        match make_parts(connection, missing, parts, replicas, first).await {
            Ok(()) => {
                if parts > 1 {
                    tracing::warn!(
                        "the broker has not the room that the streams are set to take: those that were missing take one \
                         part in {parts} of it; give the server more storage, or lower streams.stream_bytes_max and \
                         assets.store_bytes_max"
                    );
                }
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::Full && parts < PARTS_MAX => parts *= 2,
            Err(error) => return Err(error),
        }
    }
}

/// Makes streams with one part in `parts` of their bytes; those of a larger part, made a moment ago, become as small.
async fn make_parts(
    connection: &Connection,
    missing: &[&&StreamSpec],
    parts: u64,
    replicas: usize,
    first: Option<u64>,
) -> Result<(), Error> {
    for spec in missing {
        let bytes_max = spec.bytes_max.map(|bytes| (bytes / parts).max(bytes.min(BYTES_MIN)));
        let part = StreamSpec { bytes_max, ..(**spec).clone() };
        streams::ensure(connection, &part, replicas, first).await?;
    }
    Ok(())
}
