//! Fits streams into the server's storage. A server sets aside a stream's limit when the stream is created, and one
//! with a small disk refuses: then all missing streams are created smaller by the same factor. Existing streams keep
//! what they have, and grow to their configured limit if there is room.

use super::{connection::Connection, streams};
use crate::{Error, ErrorKind, Storage, StreamSpec};

/// No stream is created smaller than this for want of room: with less it would be full at once.
const BYTES_MIN: u64 = 16 << 20;
/// The smallest share to try: one part in this many.
const PARTS_MAX: u64 = 128;

/// Makes sure of all `wanted` streams; returns whether any was missing. A new one counts its messages from `first`.
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
    // Before any existing stream takes the room to grow.
    for storage in [Storage::File, Storage::Memory] {
        let missing: Vec<_> = missing.iter().filter(|spec| spec.storage == storage).collect();
        make(connection, &missing, replicas, first).await?;
    }
    for spec in there {
        streams::ensure(connection, spec, replicas, first).await?;
    }
    Ok(!missing.is_empty())
}

/// Creates streams as large as there is room for.
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
                        "the broker has less room than the streams are set to take: each missing stream was made \
                         with 1/{parts} of its size; give the server more storage, or lower streams.stream_bytes_max and \
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

/// Creates streams with one part in `parts` of their bytes; any just created with a larger part shrink to it.
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
