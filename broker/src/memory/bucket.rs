//! Key-value buckets: the last value of each key, with its revision.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::{handle::Handle, sync::Sync};
use crate::{Bucket, BucketSpec, Change, Error, ErrorKind, Storage};

/// The values of one bucket.
#[derive(Debug)]
pub(super) struct Values {
    age_max: Option<Duration>,
    storage: Storage,
    values: BTreeMap<String, Value>,
    revision: u64,
    sync: Sync,
    // What was on the disk at the last sync and has changed since.
    synced: Option<Synced>,
}

/// What has changed since a sync, with the values from then.
#[derive(Debug)]
struct Synced {
    number: u128,
    revision: u64,
    before: BTreeMap<String, Option<Value>>,
}

#[derive(Debug, Clone)]
struct Value {
    // None once deleted, so that no revision is used twice.
    bytes: Option<Bytes>,
    revision: u64,
    since: Instant,
}

impl Values {
    /// An empty bucket. If it is in files, `sync` says when they are on the disk.
    pub(super) const fn new(spec: &BucketSpec, sync: Sync) -> Self {
        let BucketSpec { age_max, storage, .. } = *spec;
        Self { age_max, storage, values: BTreeMap::new(), revision: 0, sync, synced: None }
    }

    /// The broker's process has ended. A bucket in memory starts again empty, revisions included.
    pub(super) fn crash(&mut self) {
        if self.storage == Storage::Memory {
            self.values.clear();
            self.revision = 0;
        }
    }

    /// The power has failed: everything is as it was at the last sync. Returns how many values had changed.
    pub(super) fn lose_tail(&mut self, now: Instant) -> u64 {
        self.note_sync(now);
        let Some(Synced { revision, before, .. }) = self.synced.take() else { return 0 };
        let changed = before.len() as u64;
        for (key, value) in before {
            match value {
                Some(value) => _ = self.values.insert(key, value),
                None => _ = self.values.remove(&key),
            }
        }
        self.revision = revision;
        changed
    }

    /// Notes a sync since the last change.
    fn note_sync(&mut self, now: Instant) {
        let number = self.sync.number(now).filter(|_| self.storage == Storage::File);
        if self.synced.as_ref().map(|synced| synced.number) != number {
            let revision = self.revision;
            self.synced = number.map(|number| Synced { number, revision, before: BTreeMap::new() });
        }
    }

    fn expire(&mut self, now: Instant) {
        if let Some(age_max) = self.age_max {
            self.values.retain(|_, value| now.duration_since(value.since) < age_max);
        }
    }

    fn get(&self, key: &str) -> Option<(Bytes, u64)> {
        let value = self.values.get(key)?;
        Some((value.bytes.clone()?, value.revision))
    }

    fn set(&mut self, key: &str, bytes: Option<Bytes>, now: Instant) -> u64 {
        self.note_sync(now);
        if let Some(synced) = &mut self.synced {
            synced.before.entry(key.to_owned()).or_insert_with(|| self.values.get(key).cloned());
        }
        self.revision += 1;
        self.values.insert(key.to_owned(), Value { bytes, revision: self.revision, since: now });
        self.revision
    }

    fn revision(&self, key: &str) -> u64 {
        self.values.get(key).map_or(0, |value| value.revision)
    }
}

/// An open bucket.
#[derive(Debug)]
pub(super) struct Opened {
    handle: Handle,
    name: String,
}

impl Opened {
    /// The bucket `name`, which exists.
    pub(super) const fn new(handle: Handle, name: String) -> Self {
        Self { handle, name }
    }

    async fn with<T>(
        &self,
        key: &str,
        act: impl FnOnce(&mut Values, Instant) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let doing = || format!("key `{key}` of bucket {}", self.name);
        if !is_key(key) {
            return Err(Error::new(ErrorKind::Invalid, doing()));
        }
        let mut state = self.handle.ask(doing).await?;
        let now = Instant::now();
        let values =
            state.buckets.get_mut(&self.name).ok_or_else(|| Error::new(ErrorKind::NotFound, doing()))?;
        values.expire(now);
        act(values, now)
    }

    fn error(&self, kind: ErrorKind, key: &str) -> Error {
        Error::new(kind, format!("key `{key}` of bucket {}", self.name))
    }
}

#[async_trait]
impl Bucket for Opened {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, u64)>, Error> {
        self.with(key, |values, _| Ok(values.get(key))).await
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<u64, Error> {
        self.with(key, |values, now| Ok(values.set(key, Some(value), now))).await
    }

    async fn create(&self, key: &str, value: Bytes) -> Result<u64, Error> {
        self.with(key, |values, now| match values.get(key) {
            Some(_) => Err(self.error(ErrorKind::Exists, key)),
            None => Ok(values.set(key, Some(value), now)),
        })
        .await
    }

    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, Error> {
        self.with(key, |values, now| {
            if values.revision(key) == revision {
                Ok(values.set(key, Some(value), now))
            } else {
                Err(self.error(ErrorKind::WrongRevision, key))
            }
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.with(key, |values, now| {
            values.set(key, None, now);
            Ok(())
        })
        .await
    }

    async fn keys(&self) -> Result<Vec<String>, Error> {
        let mut state = self.handle.ask(|| format!("keys of bucket {}", self.name)).await?;
        let Some(values) = state.buckets.get_mut(&self.name) else { return Ok(Vec::new()) };
        values.expire(Instant::now());
        let set = values.values.iter().filter(|(_, value)| value.bytes.is_some());
        Ok(set.map(|(key, _)| key.clone()).collect())
    }

    async fn changes(&self, revision: u64) -> Result<Vec<Change>, Error> {
        let mut state = self.handle.ask(|| format!("changes of bucket {}", self.name)).await?;
        let Some(values) = state.buckets.get_mut(&self.name) else { return Ok(Vec::new()) };
        values.expire(Instant::now());
        let later = values.values.iter().filter(|(_, value)| value.revision > revision);
        let change = |(key, value): (&String, &Value)| Change {
            key: key.clone(),
            value: value.bytes.clone(),
            revision: value.revision,
        };
        let mut changes: Vec<_> = later.map(change).collect();
        changes.sort_unstable_by_key(|change| change.revision);
        Ok(changes)
    }
}

/// Whether `name` is a valid bucket name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn is_key(key: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_/=".contains(c);
    key.split('.').all(|token| !token.is_empty() && token.chars().all(allowed))
}
