//! Holds the keys that this gateway knows, by lookup id, and checks them. No I/O, and no waiting for a lock.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use dashmap::DashMap;
use jiff::Timestamp;
use schemas::{ApiKey, KeyId, KeyRecord};
use tokio_util::sync::CancellationToken;

use super::hash::{Hash, Pepper};
use crate::quota::Quota;

/// A key that is known here.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) record: KeyRecord,
    hash: Hash,
    /// The revision of its record in the broker; none for a key in the configuration.
    pub(super) revision: Option<u64>,
    life: Arc<Life>,
}

/// A key, shared by all callers that came in by it.
pub(crate) type PassRef = Arc<Pass>;

/// The part of a key that survives changes of its record.
#[derive(Debug)]
struct Life {
    /// Cancelled when the key is no longer valid.
    ended: CancellationToken,
    /// When it was last used, in seconds.
    used_s: AtomicI64,
    /// What its callers have recently asked for.
    quota: Arc<Quota>,
}

/// Why a key is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It is another key.
    Wrong,
    Revoked,
    Expired,
}

impl Pass {
    pub(super) fn new(record: KeyRecord, hash: Hash, revision: Option<u64>) -> Self {
        let life =
            Life { ended: CancellationToken::new(), used_s: AtomicI64::new(i64::MIN), quota: Arc::default() };
        Self { record, hash, revision, life: Arc::new(life) }
    }

    /// Continues the life of `before` if it is the same key; ends that life if it is not, or if this key was revoked.
    fn after(self, before: &Self) -> Self {
        if self.hash != before.hash {
            before.end();
            return self;
        }
        if self.record.revoked_at.is_some() {
            before.end();
        }
        Self { life: Arc::clone(&before.life), ..self }
    }

    /// Checks that this is `key` and valid at `now`. Notes its use.
    pub(super) fn check(&self, key: &ApiKey, pepper: Option<&Pepper>, now: Timestamp) -> Result<(), Why> {
        if key.mode() != self.record.mode || !self.hash.is_of(key, pepper) {
            return Err(Why::Wrong);
        }
        // A revocation holds at once, by whatever clock it was made.
        if self.record.revoked_at.is_some() {
            return Err(Why::Revoked);
        }
        if !self.record.is_good(now) {
            return Err(Why::Expired);
        }
        self.life.used_s.store(now.as_second(), Ordering::Relaxed);
        Ok(())
    }

    /// Cancelled when the key is no longer valid.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.life.ended.clone()
    }

    /// What its callers have recently asked of this gateway.
    pub(crate) fn quota(&self) -> Arc<Quota> {
        Arc::clone(&self.life.quota)
    }

    /// When it was last used here.
    pub(super) fn used_at(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.life.used_s.load(Ordering::Relaxed)).ok()
    }

    /// Its record, with what only this gateway knows.
    pub(super) fn shown(&self) -> KeyRecord {
        let last_used_at = self.record.last_used_at.max(self.used_at());
        KeyRecord { last_used_at, ..self.record.clone() }
    }

    pub(super) fn end(&self) {
        self.life.ended.cancel();
    }

    pub(super) fn end_if_expired(&self, now: Timestamp) {
        if !self.record.is_good(now) {
            self.end();
        }
    }

    /// Takes the place of `before`, if there is one.
    pub(super) fn in_place_of(self, before: Option<&PassRef>) -> PassRef {
        Arc::new(match before {
            Some(before) => self.after(before),
            None => self,
        })
    }
}

/// The keys that the broker keeps.
#[derive(Debug, Default)]
pub(super) struct Ring(DashMap<KeyId, PassRef>);

impl Ring {
    pub(super) fn get(&self, id: &KeyId) -> Option<PassRef> {
        self.0.get(id).map(|pass| Arc::clone(&pass))
    }

    pub(super) fn set(&self, id: KeyId, pass: Pass) {
        let before = self.get(&id);
        self.0.insert(id, pass.in_place_of(before.as_ref()));
    }

    pub(super) fn remove(&self, id: &KeyId) {
        if let Some((_, pass)) = self.0.remove(id) {
            pass.end();
        }
    }

    /// Forgets all keys but these.
    pub(super) fn retain(&self, all: &BTreeSet<KeyId>) {
        self.0.retain(|id, pass| {
            let stays = all.contains(id);
            if !stays {
                pass.end();
            }
            stays
        });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn list(&self) -> Vec<KeyRecord> {
        self.0.iter().map(|pass| pass.shown()).collect()
    }

    pub(super) fn each(&self, mut act: impl FnMut(&PassRef)) {
        self.0.iter().for_each(|pass| act(&pass));
    }
}
