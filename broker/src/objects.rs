//! Large values in small pieces: an object store over streams, the same on every broker. Its layout is that of NATS's
//! own, so that `nats object get` reads it: a stream `OBJ_<name>` with the pieces of each write on a subject of its
//! own, and one description per object.
//!
//! An object appears whole or not at all, since its description is written last. The pieces of an abandoned write are
//! purged; if its process died, they stay unseen until they age out. A reader asks for one piece after the other, holds
//! no more than one however slow it is, and starts near the requested offset.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};

use crate::{Broker, Error, ErrorKind, Retention, Seams, Storage, StreamSpec};

mod description;
mod reader;
mod writer;

pub use description::ObjectInfo;
pub use writer::{ObjectWriter, Sealed};

use description::Description;
use reader::Reader;

/// The bytes of each piece except the last: as in NATS clients.
pub const PIECE_BYTES: usize = 128 * 1024;
/// How long a repeated piece is recognised.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// A store of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectsSpec {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// How long a piece is kept, and so an object: counted from its first piece.
    pub age_max: Option<Duration>,
    /// The most bytes of all objects; the store refuses one more piece (`Full`).
    pub bytes_max: Option<u64>,
    /// Where pieces are kept.
    pub storage: Storage,
}

impl ObjectsSpec {
    fn stream(&self) -> String {
        format!("OBJ_{}", self.name)
    }

    fn pieces(&self, write: &str) -> String {
        format!("$O.{}.C.{write}", self.name)
    }

    fn description(&self, key: &str) -> String {
        format!("$O.{}.M.{}", self.name, URL_SAFE.encode(key))
    }

    /// The stream that holds the store.
    pub fn as_stream(&self) -> StreamSpec {
        StreamSpec {
            name: self.stream(),
            subjects: vec![self.pieces(">"), format!("$O.{}.M.>", self.name)],
            retention: Retention::Limits,
            storage: self.storage,
            age_max: self.age_max,
            messages_max: None,
            bytes_max: self.bytes_max,
            first_wins: false,
            discard_old: false,
            duplicate_window: DUPLICATE_WINDOW,
            bells: None,
        }
    }
}

/// An open store. Cheap to clone.
#[derive(Clone)]
pub struct Objects {
    broker: Arc<dyn Broker>,
    spec: Arc<ObjectsSpec>,
    seams: Seams,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Objects {
    /// Opens a store; creates it if it is missing, and applies these limits.
    pub async fn open(broker: Arc<dyn Broker>, spec: ObjectsSpec, seams: Seams) -> Result<Self, Error> {
        broker.ensure(&[spec.as_stream()]).await?;
        Ok(Self { broker, spec: Arc::new(spec), seams })
    }

    /// Begins to write an object. Nobody sees any of it before it is kept.
    pub fn write(&self) -> ObjectWriter {
        let [one, two] = [self.seams.random.next_u64(), self.seams.random.next_u64()];
        ObjectWriter::new(self.clone(), format!("{one:016x}{two:016x}"))
    }

    /// What is known about the object `key`.
    pub async fn info(&self, key: &str) -> Result<Option<ObjectInfo>, Error> {
        Ok(self.described(key).await?.map(|(description, _)| description.into()))
    }

    /// These bytes of an object, as far as it has them. If the object was removed meanwhile, or has aged out, the
    /// stream ends with `NotFound`.
    pub fn read(&self, object: &ObjectInfo, bytes: Range<u64>) -> BoxStream<'static, Result<Bytes, Error>> {
        let reader = Reader::new(self.clone(), &object.description, bytes);
        stream::try_unfold(reader, |mut reader| async move {
            let piece = reader.next().await?;
            Ok(piece.map(|piece| (piece, reader)))
        })
        .boxed()
    }

    /// Removes this very object. One that has replaced it meanwhile stays.
    pub async fn delete(&self, object: &ObjectInfo) -> Result<(), Error> {
        let nuid = &object.description.nuid;
        match self.described(object.key()).await? {
            Some((current, sequence)) if current.nuid == *nuid => self.forget(&current, sequence).await,
            _ => self.purge(nuid).await,
        }
    }

    /// The description of `key`, and its sequence in the stream.
    async fn described(&self, key: &str) -> Result<Option<(Description, u64)>, Error> {
        let stored = self.broker.last(&self.spec.stream(), &self.spec.description(key)).await?;
        let read = |stored: crate::Stored| {
            let description: Description =
                serde_json::from_slice(&stored.message.payload).map_err(|error| {
                    let what =
                        format!("the description of object {key} of {} cannot be read", self.spec.name);
                    Error::new(ErrorKind::Invalid, what).with_source(error)
                })?;
            Ok((description, stored.sequence))
        };
        // If another client has deleted an object, its description says so.
        Ok(stored.map(read).transpose()?.filter(|(description, _)| !description.deleted))
    }

    /// Removes a description, so that nobody finds its object any more, and then the pieces.
    async fn forget(&self, description: &Description, sequence: u64) -> Result<(), Error> {
        match self.broker.remove(&self.spec.stream(), sequence).await {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => other?,
        }
        self.purge(&description.nuid).await
    }

    async fn purge(&self, write: &str) -> Result<(), Error> {
        self.broker.purge(&self.spec.stream(), &self.spec.pieces(write)).await
    }
}
