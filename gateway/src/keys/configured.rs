//! The keys in the configuration: their hashes, never the keys. For a broker that loses its data, and for a server that
//! listens to the network from its first start.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use parking_lot::RwLock;
use schemas::{Action, CallerLimits, KeyBudget, KeyId, KeyMode, KeyRecord, Role, Tenant};
use serde::Deserialize;

use super::{
    hash::Hash,
    ring::{Pass, PassRef},
};
use crate::quota::{NO_LIMIT, zero};

/// One `[[keys]]`, as `dynode key create --offline` prints it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Its lookup id.
    pub id: KeyId,
    /// Its hash: `sha256:` and 64 hexadecimal digits.
    pub hash: String,
    /// Whether it reaches real providers.
    #[serde(default)]
    pub mode: KeyMode,
    /// The tenant that it belongs to.
    pub tenant: Tenant,
    /// What its owner calls it.
    #[serde(default)]
    pub name: String,
    /// What it may do.
    #[serde(default)]
    pub role: Role,
    /// The actions that it may ask for; all if none is named.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// The models that it may ask for; all if none is named.
    #[serde(default)]
    pub models: Vec<String>,
    /// The most requests in a minute.
    #[serde(default)]
    pub requests_per_minute: Option<u32>,
    /// The most tokens in a minute.
    #[serde(default)]
    pub tokens_per_minute: Option<u32>,
    /// The most requests at once.
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// What it may spend.
    #[serde(default)]
    pub budget: Option<KeyBudget>,
    /// When it expires.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// The keys in the configuration. Cheap to clone; all clones share them.
#[derive(Debug, Clone, Default)]
pub struct ConfiguredKeys(Arc<RwLock<BTreeMap<KeyId, PassRef>>>);

impl KeyConfig {
    /// Checks all keys; the error is the place and what is wrong there.
    pub fn check(all: &[Self]) -> Result<(), (String, String)> {
        let mut seen = BTreeMap::new();
        for (index, key) in all.iter().enumerate() {
            let fault = |field: &str, why: String| Err((format!("keys[{index}].{field}"), why));
            if Hash::of_config(&key.hash).is_none() {
                let why = "expected sha256: and 64 hexadecimal digits, as `dynode key create --offline` prints them";
                return fault("hash", why.to_owned());
            }
            if seen.insert(&key.id, index).is_some() {
                return fault("id", format!("another key already has the id `{}`", key.id));
            }
            if key.budget.is_some_and(|budget| !budget.is_sound()) {
                return fault("budget.usd", "expected an amount of US dollars, more than 0".to_owned());
            }
            if let Some(field) = zero(&key.limits()) {
                return fault(field, NO_LIMIT.to_owned());
            }
        }
        Ok(())
    }

    const fn limits(&self) -> CallerLimits {
        CallerLimits {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            concurrency: self.concurrency,
        }
    }

    fn pass(&self) -> Option<Pass> {
        let record = KeyRecord {
            id: self.id.clone(),
            mode: self.mode,
            tenant: self.tenant.clone(),
            name: self.name.clone(),
            role: self.role,
            actions: self.actions.clone(),
            models: self.models.clone(),
            limits: self.limits(),
            budget: self.budget,
            created_at: None,
            expires_at: self.expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        Some(Pass::new(record, Hash::of_config(&self.hash)?, None))
    }
}

impl ConfiguredKeys {
    /// Holds these `keys`, which were checked.
    pub fn new(keys: &[KeyConfig]) -> Self {
        let configured = Self::default();
        configured.replace(keys);
        configured
    }

    /// Replaces the keys. Whatever runs under a key that is no longer among them ends.
    pub fn replace(&self, keys: &[KeyConfig]) {
        let mut held = self.0.write();
        let pass = |key: &KeyConfig| Some((key.id.clone(), key.pass()?.in_place_of(held.get(&key.id))));
        let fresh: BTreeMap<_, _> = keys.iter().filter_map(pass).collect();
        held.iter().filter(|(id, _)| !fresh.contains_key(*id)).for_each(|(_, pass)| pass.end());
        *held = fresh;
    }

    pub(super) fn get(&self, id: &KeyId) -> Option<PassRef> {
        self.0.read().get(id).map(Arc::clone)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    pub(super) fn list(&self) -> Vec<KeyRecord> {
        self.0.read().values().map(|pass| pass.shown()).collect()
    }

    pub(super) fn each(&self, act: impl FnMut(&PassRef)) {
        self.0.read().values().for_each(act);
    }
}
