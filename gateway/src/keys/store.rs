//! Stores the keys in the broker: a bucket with a record for each. Revoked keys stay, so that an installation that had
//! keys is never taken for one that never had any.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use broker::{Broker, Bucket, Error, ErrorKind, Seams, Topology, secrets};
use bytes::Bytes;
use schemas::{ApiKey, KeyId, KeyRecord};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{
    hash::{Hash, Pepper, from_hex, to_hex},
    ring::Pass,
};
use crate::Parts;

/// One in this many reads is of everything: a broker that was set back reports no changes.
const ALL_EVERY: u64 = 60;
/// How often the gateway tries a change that collides with others.
const TRIES_MAX: u32 = 16;

/// The bucket.
#[derive(Debug)]
pub(super) struct Store {
    broker: Arc<dyn Broker>,
    topology: Topology,
    seams: Seams,
    bucket: Box<dyn Bucket>,
    pepper: OnceLock<Pepper>,
}

/// How far the store was read before.
#[derive(Debug, Default)]
pub(super) struct Asked {
    count: u64,
    revision: u64,
}

/// A record in the bucket.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    record: KeyRecord,
    /// The hash of the whole key, in hexadecimal digits.
    hash: String,
}

/// What has become of a key.
#[derive(Debug)]
pub(super) enum Kept {
    Key(Box<Pass>),
    Removed,
    /// The value in the bucket is not a record.
    Unreadable,
}

/// What has changed.
#[derive(Debug)]
pub(super) struct News {
    pub(super) changed: Vec<(KeyId, Kept)>,
    /// All existing keys, if everything was read.
    pub(super) all: Option<BTreeSet<KeyId>>,
}

impl Store {
    /// Opens the bucket.
    pub(super) async fn open(parts: &Parts) -> Result<Self, Error> {
        let (broker, topology) = (Arc::clone(&parts.broker), parts.topology.clone());
        let bucket = broker.bucket(&topology.keys()).await?;
        let (seams, pepper) = (parts.seams.clone(), OnceLock::new());
        Ok(Self { broker, topology, seams, bucket, pepper })
    }

    /// The pepper; none while there is no key that needs it.
    pub(super) fn pepper(&self) -> Option<&Pepper> {
        self.pepper.get()
    }

    /// The pepper; made if there is none yet.
    async fn need_pepper(&self) -> Result<&Pepper, Error> {
        if let Some(pepper) = self.pepper.get() {
            return Ok(pepper);
        }
        let key = secrets::key(&*self.broker, &self.topology, &self.seams, secrets::API_KEYS).await?;
        Ok(self.pepper.get_or_init(|| Pepper::new(&key)))
    }

    /// What has changed since `asked`, which moves on.
    pub(super) async fn news(&self, asked: &mut Asked) -> Result<News, Error> {
        let is_for_all = asked.count.is_multiple_of(ALL_EVERY);
        let changes = self.bucket.changes(if is_for_all { 0 } else { asked.revision }).await?;
        if !changes.is_empty() {
            self.need_pepper().await?;
        }
        let (mut changed, mut revision) = (Vec::new(), if is_for_all { 0 } else { asked.revision });
        for change in changes {
            revision = revision.max(change.revision);
            let Ok(id) = KeyId::new(&change.key) else { continue };
            let kept = match change.value {
                Some(value) => read(&id, &value, change.revision),
                None => Kept::Removed,
            };
            changed.push((id, kept));
        }
        *asked = Asked { count: asked.count + 1, revision };
        let all = is_for_all.then(|| changed.iter().map(|(id, _)| id.clone()).collect());
        Ok(News { changed, all })
    }

    /// Stores a new key.
    pub(super) async fn add(&self, key: &ApiKey, record: KeyRecord) -> Result<(), Error> {
        let id = record.id.clone();
        let hash = to_hex(&self.need_pepper().await?.hash(key));
        self.bucket.create(id.as_str(), encode(&Stored { record, hash })?).await.map(drop)
    }

    /// Changes the record of a key; none if there is no such key.
    pub(super) async fn change(
        &self,
        id: &KeyId,
        change: impl Fn(&mut KeyRecord) + Send + Sync,
    ) -> Result<Option<KeyRecord>, Error> {
        for _ in 0..TRIES_MAX {
            let Some((value, revision)) = self.bucket.get(id.as_str()).await? else { return Ok(None) };
            let Ok(mut stored) = serde_json::from_slice::<Stored>(&value) else { return Ok(None) };
            change(&mut stored.record);
            match self.bucket.update(id.as_str(), encode(&stored)?, revision).await {
                Err(error) if error.kind() == ErrorKind::WrongRevision => {}
                written => return written.map(|_| Some(stored.record)),
            }
        }
        Err(Error::new(ErrorKind::WrongRevision, format!("the key {id} is changed by others all the time")))
    }
}

fn encode(stored: &Stored) -> Result<Bytes, Error> {
    let unwritable = |error| Error::new(ErrorKind::Invalid, format!("a key cannot be written: {error}"));
    serde_json::to_vec(stored).map(Bytes::from).map_err(unwritable)
}

fn read(id: &KeyId, value: &[u8], revision: u64) -> Kept {
    let stored = serde_json::from_slice::<Stored>(value).ok().filter(|stored| stored.record.id == *id);
    let hash = stored.as_ref().and_then(|stored| from_hex(&stored.hash));
    match (stored, hash) {
        (Some(Stored { record, .. }), Some(hash)) => {
            Kept::Key(Box::new(Pass::new(record, Hash::Peppered(hash), Some(revision))))
        }
        _ => {
            warn!(%id, "the record of an API key cannot be read: the key is not good");
            Kept::Unreadable
        }
    }
}
