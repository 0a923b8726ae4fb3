//! Holds the API keys, which decide who may come in. A key is looked up in memory. No secret is stored, only a hash of
//! the whole key, made with a pepper that the broker keeps for the installation.
//!
//! | file | what it holds |
//! |---|---|
//! | `ring` | the keys that this gateway knows, and their check |
//! | `hash` | what is stored instead of a key |
//! | `store` | the keys in the broker |
//! | `keeper` | reads the changes of other gateways, and records which keys are used |
//! | `configured` | the keys in the configuration |
//! | `door` | `/v1/keys` |

mod configured;
pub(crate) mod door;
mod hash;
pub(crate) mod keeper;
mod ring;
mod store;

use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use schemas::{ApiKey, Error, ErrorCode, KeyId, KeyRecord};
use tokio::sync::Mutex;

use crate::{Parts, Tenants, refusal};
pub use configured::{ConfiguredKeys, KeyConfig};
pub use hash::config_hash;
pub(crate) use ring::PassRef;
use ring::{Ring, Why};
use store::{Asked, Kept, Store};

/// The most keys of an installation, including revoked ones: each gateway knows them all.
const KEYS_MAX: usize = 100_000;

/// Who may come in, according to the configuration.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The keys in the configuration.
    pub configured: ConfiguredKeys,
    /// Which organisation tenants belong to, and how much each may ask for.
    pub tenants: Tenants,
    /// Everybody may come in while there are no keys, even from other machines.
    pub without_keys: bool,
}

/// Who can reach a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This machine, or this process.
    Here,
    /// Other machines as well.
    Network,
}

/// All keys.
#[derive(Debug)]
pub(crate) struct Keys {
    ring: Ring,
    store: Store,
    /// Held for a whole read, so that older news never comes after newer.
    asked: Mutex<Asked>,
    configured: ConfiguredKeys,
    reach: Reach,
    without_keys: bool,
    /// There was a key once: from then on nobody comes in without one.
    is_closed: AtomicBool,
}

impl Keys {
    /// Reads the keys.
    pub(crate) async fn open(parts: &Parts, reach: Reach) -> Result<Self, broker::Error> {
        let Access { configured, without_keys, .. } = parts.access.clone();
        let keys = Self {
            ring: Ring::default(),
            store: Store::open(parts).await?,
            asked: Mutex::default(),
            configured,
            reach,
            without_keys,
            is_closed: AtomicBool::new(false),
        };
        keys.read().await?;
        Ok(keys)
    }

    /// Whether everybody may come in: there was never a key, and only this machine can reach the gateway or
    /// `without_keys` is set.
    pub(crate) fn is_open(&self) -> bool {
        (self.reach == Reach::Here || self.without_keys)
            && !self.is_closed.load(Ordering::Relaxed)
            && self.configured.is_empty()
    }

    /// Whether nobody can come in.
    pub(crate) fn is_missing(&self) -> bool {
        !self.is_open() && self.ring.is_empty() && self.configured.is_empty()
    }

    /// The key `text`, if it exists and is valid at `now`. Does no I/O.
    pub(crate) fn check(&self, text: &str, now: Timestamp) -> Result<PassRef, Error> {
        let key =
            ApiKey::parse(text).map_err(|bad| unauthorized(&format!("this is not an API key: {bad}")))?;
        let (of_broker, pepper) = (self.ring.get(key.id()), self.store.pepper());
        let pass = of_broker.or_else(|| self.configured.get(key.id()));
        match pass.map(|pass| pass.check(&key, pepper, now).map(|()| pass)) {
            Some(Ok(pass)) => Ok(pass),
            // A client without the secret does not learn that the key exists.
            None | Some(Err(Why::Wrong)) => Err(unauthorized("there is no such API key")),
            Some(Err(Why::Revoked)) => Err(unauthorized(&format!("the API key `{}` was revoked", key.id()))),
            Some(Err(Why::Expired)) => Err(unauthorized(&format!("the API key `{}` has expired", key.id()))),
        }
    }

    /// The records of all keys, those of the configuration last.
    pub(crate) fn list(&self) -> Vec<KeyRecord> {
        let mut records = self.ring.list();
        records.sort_unstable_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        records.extend(self.configured.list());
        records
    }

    /// The record of the key `id`.
    pub(crate) fn find(&self, id: &KeyId) -> Option<KeyRecord> {
        let pass = self.ring.get(id).or_else(|| self.configured.get(id))?;
        Some(pass.shown())
    }

    /// Whether the key is in the configuration, which is where to change it.
    pub(crate) fn is_configured(&self, id: &KeyId) -> bool {
        self.ring.get(id).is_none() && self.configured.get(id).is_some()
    }

    /// Stores a new key. It is valid here at once.
    pub(crate) async fn add(&self, key: &ApiKey, record: KeyRecord) -> Result<(), Error> {
        if self.ring.len() >= KEYS_MAX {
            let why = format!("the limit of {KEYS_MAX} keys, including revoked ones, is reached");
            return Err(Error::new(ErrorCode::Conflict, why));
        }
        self.store.add(key, record).await.map_err(|error| refusal::of_broker(&error))?;
        self.is_closed.store(true, Ordering::Relaxed);
        self.read().await.map_err(|error| refusal::of_broker(&error))
    }

    /// Stores a change of the key `id`; none if there is no such key. It applies here at once.
    pub(crate) async fn change(
        &self,
        id: &KeyId,
        change: impl Fn(&mut KeyRecord) + Send + Sync,
    ) -> Result<Option<KeyRecord>, Error> {
        let changed = self.store.change(id, change).await.map_err(|error| refusal::of_broker(&error))?;
        self.read().await.map_err(|error| refusal::of_broker(&error))?;
        Ok(changed)
    }

    /// Applies what has changed since the last read.
    async fn read(&self) -> Result<(), broker::Error> {
        let mut asked = self.asked.lock().await;
        let news = self.store.news(&mut asked).await?;
        for (id, kept) in news.changed {
            match kept {
                Kept::Key(pass) => self.ring.set(id, *pass),
                Kept::Unreadable => self.ring.remove(&id),
                Kept::Removed => {
                    self.ring.remove(&id);
                    continue;
                }
            }
            self.is_closed.store(true, Ordering::Relaxed);
        }
        if let Some(all) = news.all {
            self.ring.retain(&all);
        }
        if !self.configured.is_empty() {
            self.is_closed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Ends whatever runs under keys that have expired at `now`.
    fn end_those_that_expired(&self, now: Timestamp) {
        self.ring.each(|pass| pass.end_if_expired(now));
        self.configured.each(|pass| pass.end_if_expired(now));
    }
}

/// The client has no valid key.
pub(crate) fn unauthorized(why: &str) -> Error {
    Error::new(ErrorCode::Unauthorized, why)
}
