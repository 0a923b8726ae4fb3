//! Writes an object: cuts it into pieces, hashes and counts it as it comes, and shows it only once it is kept.

use base64::{Engine, engine::general_purpose::URL_SAFE};
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::{
    ObjectInfo, Objects, PIECE_BYTES,
    description::{Description, STRIDE, Written},
};
use crate::{Error, ErrorKind, Headers, Message, Publication};

/// An object being written. Dropping it removes what it has written.
#[derive(Debug)]
pub struct ObjectWriter {
    objects: Objects,
    nuid: String,
    buffer: BytesMut,
    hasher: Sha256,
    size: u64,
    chunks: u64,
    places: Vec<u64>,
    kept: bool,
}

/// An object whose bytes are all written, still without a name.
#[derive(Debug)]
pub struct Sealed {
    writer: ObjectWriter,
    digest: [u8; 32],
}

impl ObjectWriter {
    pub(super) fn new(objects: Objects, nuid: String) -> Self {
        Self {
            objects,
            nuid,
            buffer: BytesMut::new(),
            hasher: Sha256::new(),
            size: 0,
            chunks: 0,
            places: Vec::new(),
            kept: false,
        }
    }

    /// How many bytes it has so far.
    pub const fn bytes(&self) -> u64 {
        self.size
    }

    /// Appends. Returns when the broker has acknowledged each piece that became full; an error loses the object.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.size += bytes.len() as u64;
        self.hasher.update(bytes);
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() >= PIECE_BYTES {
            let piece = self.buffer.split_to(PIECE_BYTES).freeze();
            self.store(piece).await?;
        }
        Ok(())
    }

    /// Writes the last piece.
    pub async fn seal(mut self) -> Result<Sealed, Error> {
        let rest = self.buffer.split().freeze();
        if !rest.is_empty() {
            self.store(rest).await?;
        }
        let digest = std::mem::take(&mut self.hasher).finalize().into();
        Ok(Sealed { writer: self, digest })
    }

    async fn store(&mut self, piece: Bytes) -> Result<(), Error> {
        let (subject, id) = (self.objects.spec.pieces(&self.nuid), format!("{}.{}", self.nuid, self.chunks));
        let message = Message { subject, headers: Headers::new(), payload: piece };
        let receipt = self.objects.broker.publish(Publication { message, id: Some(id) }).await?;
        if self.chunks.is_multiple_of(STRIDE) {
            self.places.push(receipt.sequence);
        }
        self.chunks += 1;
        Ok(())
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        // Nothing has been sent, acknowledged or not.
        let is_unsent = self.size == self.buffer.len() as u64;
        if self.kept || is_unsent {
            return;
        }
        let (objects, nuid) = (self.objects.clone(), std::mem::take(&mut self.nuid));
        // Without a runtime, or if this fails, the pieces stay unseen until they age out.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = objects.purge(&nuid).await {
                    tracing::debug!(%error, "pieces of an object that nobody will finish stay until they age out");
                }
            });
        }
    }
}

impl Sealed {
    /// How many bytes it has.
    pub const fn bytes(&self) -> u64 {
        self.writer.size
    }

    /// The SHA-256 of its bytes.
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Makes it the object `key`, with a note that readers get back verbatim. Also returns whether it replaced an
    /// earlier object.
    pub async fn keep(self, key: &str, note: String) -> Result<(ObjectInfo, bool), Error> {
        let Self { mut writer, digest } = self;
        let objects = writer.objects.clone();
        let earlier = objects.described(key).await?;
        let written = Written {
            nuid: writer.nuid.clone(),
            size: writer.size,
            chunks: writer.chunks,
            digest: format!("SHA-256={}", URL_SAFE.encode(digest)),
            places: std::mem::take(&mut writer.places),
        };
        let now = objects.broker.now();
        let description = Description::new(&objects.spec.name, key, note, written, now);
        let payload = serde_json::to_vec(&description).map_err(|error| {
            Error::new(ErrorKind::Invalid, format!("object {key} cannot be described")).with_source(error)
        })?;
        let message = Message {
            subject: objects.spec.description(key),
            headers: Headers::new(),
            payload: payload.into(),
        };
        // If we are cut off here, or get no answer, we do not know whether the broker has stored it: the pieces stay.
        writer.kept = true;
        if let Err(error) =
            objects.broker.publish(Publication { message, id: Some(writer.nuid.clone()) }).await
        {
            writer.kept = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Disconnected);
            return Err(error);
        }
        let replaced = earlier.is_some();
        if let Some((earlier, sequence)) = earlier
            && let Err(error) = objects.forget(&earlier, sequence).await
        {
            tracing::debug!(%error, key, "an object whose place another has taken stays until it ages out");
        }
        Ok((description.into(), replaced))
    }
}
