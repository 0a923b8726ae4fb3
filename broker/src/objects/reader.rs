//! Reads an object, piece after piece, from any offset.

use std::ops::Range;

use bytes::Bytes;

use super::{
    Objects,
    description::{Description, STRIDE},
};
use crate::{Error, ErrorKind};

/// One object being read.
pub(super) struct Reader {
    objects: Objects,
    key: String,
    subject: String,
    /// The sequence from which to look for the next piece.
    sequence: u64,
    /// Bytes to skip, and bytes still to return.
    skip: u64,
    left: u64,
}

impl Reader {
    /// Reads these bytes, as far as the object has them.
    pub(super) fn new(objects: Objects, description: &Description, bytes: Range<u64>) -> Self {
        let end = bytes.end.min(description.size);
        let from = bytes.start.min(end);
        let stride_bytes = description.piece_bytes().saturating_mul(STRIDE);
        let stride = from / stride_bytes;
        let place = usize::try_from(stride).ok().and_then(|stride| description.places.get(stride));
        // Without a place, as in another client's object, it is read from its start.
        let (sequence, passed) = place.map_or((1, 0), |place| (*place, stride * stride_bytes));
        Self {
            key: description.name.clone(),
            subject: objects.spec.pieces(&description.nuid),
            sequence,
            skip: from - passed,
            left: end - from,
            objects,
        }
    }

    /// The next bytes; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while self.left > 0 {
            let stream = self.objects.spec.stream();
            let stored = self.objects.broker.next(&stream, &self.subject, self.sequence).await?;
            let Some(stored) = stored else {
                let what = format!("object {} of {} is not there any more", self.key, self.objects.spec.name);
                return Err(Error::new(ErrorKind::NotFound, what));
            };
            self.sequence = stored.sequence + 1;
            let mut piece = stored.message.payload;
            let skipped = self.skip.min(piece.len() as u64);
            self.skip -= skipped;
            // A length that fits in memory fits in a `usize`.
            let mut piece = piece.split_off(usize::try_from(skipped).unwrap_or(usize::MAX));
            piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            if !piece.is_empty() {
                self.left -= piece.len() as u64;
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}
