//! The API keys: who may come in. A key is looked for in memory, and its secret is kept nowhere: only a hash of the whole key, made
//! with a pepper that the broker keeps for the installation.
//!
//! | file | what it holds |
//! |---|---|
//! | `ring` | the keys as this gateway knows them, and the check of one |
//! | `hash` | what is kept in place of a key |
//! | `store` | the keys in the broker |
//! | `keeper` | hears what other gateways have changed, and writes down which keys are used |
//! | `configured` | keys that stand in the configuration |
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

/// The most keys that an installation has, revoked ones included: each gateway knows them all.
const KEYS_MAX: usize = 100_000;

/// Who may come in.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The keys that stand in the configuration.
    pub configured: ConfiguredKeys,
    /// To whom tenants belong, and how much each may ask for.
    pub tenants: Tenants,
    /// Everybody may come in while there are no keys, also from other machines.
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
    /// One reads at a time, to the end: what is older must not come after what is newer.
    asked: Mutex<Asked>,
    configured: ConfiguredKeys,
    reach: Reach,
    without_keys: bool,
    /// There was a key once: without one nobody comes in any more.
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

    /// Whether everybody may come in: there was never a key, and who can come is from this machine or is meant to.
    pub(crate) fn is_open(&self) -> bool {
        (self.reach == Reach::Here || self.without_keys)
            && !self.is_closed.load(Ordering::Relaxed)
            && self.configured.is_empty()
    }

    /// Whether nobody can come in.
    pub(crate) fn is_missing(&self) -> bool {
        !self.is_open() && self.ring.is_empty() && self.configured.is_empty()
    }

    /// The key `text`, if it is one and is good at `now`. Asks nobody.
    pub(crate) fn check(&self, text: &str, now: Timestamp) -> Result<PassRef, Error> {
        let key =
            ApiKey::parse(text).map_err(|bad| unauthorized(&format!("this is not an API key: {bad}")))?;
        let (of_broker, pepper) = (self.ring.get(key.id()), self.store.pepper());
        let pass = of_broker.or_else(|| self.configured.get(key.id()));
        match pass.map(|pass| pass.check(&key, pepper, now).map(|()| pass)) {
            Some(Ok(pass)) => Ok(pass),
            // Whoever has not the secret is not told that there is such a key.
            None | Some(Err(Why::Wrong)) => Err(unauthorized("there is no such API key")),
            Some(Err(Why::Revoked)) => Err(unauthorized(&format!("the API key `{}` was revoked", key.id()))),
            Some(Err(Why::Expired)) => Err(unauthorized(&format!("the API key `{}` has expired", key.id()))),
        }
    }

    /// Everything that is known of the keys, those of the configuration last.
    pub(crate) fn list(&self) -> Vec<KeyRecord> {
        let mut records = self.ring.list();
        records.sort_unstable_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        records.extend(self.configured.list());
        records
    }

    /// What is known of the key `id`.
    pub(crate) fn find(&self, id: &KeyId) -> Option<KeyRecord> {
        let pass = self.ring.get(id).or_else(|| self.configured.get(id))?;
        Some(pass.shown())
    }

    /// Whether the key stands in the configuration, where it is changed.
    pub(crate) fn is_configured(&self, id: &KeyId) -> bool {
        self.ring.get(id).is_none() && self.configured.get(id).is_some()
    }

    /// Stores a new key. It is good here at once.
    pub(crate) async fn add(&self, key: &ApiKey, record: KeyRecord) -> Result<(), Error> {
        if self.ring.len() >= KEYS_MAX {
            let why = format!("there are {KEYS_MAX} keys, with the revoked ones, and no more are kept");
            return Err(Error::new(ErrorCode::Conflict, why));
        }
        self.store.add(key, record).await.map_err(|error| refusal::of_broker(&error))?;
        self.is_closed.store(true, Ordering::Relaxed);
        self.read().await.map_err(|error| refusal::of_broker(&error))
    }

    /// Stores a change of the key `id`; none where there is no such key. It holds here at once.
    pub(crate) async fn change(
        &self,
        id: &KeyId,
        change: impl Fn(&mut KeyRecord) + Send + Sync,
    ) -> Result<Option<KeyRecord>, Error> {
        let changed = self.store.change(id, change).await.map_err(|error| refusal::of_broker(&error))?;
        self.read().await.map_err(|error| refusal::of_broker(&error))?;
        Ok(changed)
    }

    /// Hears what has changed since it was last asked.
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

    /// Ends what goes on by keys that are no good at `now` any more.
    fn end_those_that_expired(&self, now: Timestamp) {
        self.ring.each(|pass| pass.end_if_expired(now));
        self.configured.each(|pass| pass.end_if_expired(now));
    }
}

/// Whoever asks has no good key.
pub(crate) fn unauthorized(why: &str) -> Error {
    Error::new(ErrorCode::Unauthorized, why)
}
