//! Key-value buckets: the last value of each key, with its revision.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::handle::Handle;
use crate::{Bucket, Error, ErrorKind};

/// The values of one bucket.
#[derive(Debug)]
pub(super) struct Values {
    age_max: Option<Duration>,
    values: BTreeMap<String, Value>,
    revision: u64,
}

#[derive(Debug)]
struct Value {
    // None once deleted: a revision is never used twice.
    bytes: Option<Bytes>,
    revision: u64,
    since: Instant,
}

impl Values {
    /// An empty bucket that keeps values for `age_max`.
    pub(super) const fn new(age_max: Option<Duration>) -> Self {
        Self { age_max, values: BTreeMap::new(), revision: 0 }
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

    fn with<T>(
        &self,
        key: &str,
        act: impl FnOnce(&mut Values, Instant) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let doing = || format!("key `{key}` of bucket {}", self.name);
        if !is_key(key) {
            return Err(Error::new(ErrorKind::Invalid, doing()));
        }
        let mut state = self.handle.enter(doing)?;
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
        self.with(key, |values, _| Ok(values.get(key)))
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<u64, Error> {
        self.with(key, |values, now| Ok(values.set(key, Some(value), now)))
    }

    async fn create(&self, key: &str, value: Bytes) -> Result<u64, Error> {
        self.with(key, |values, now| match values.get(key) {
            Some(_) => Err(self.error(ErrorKind::Exists, key)),
            None => Ok(values.set(key, Some(value), now)),
        })
    }

    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, Error> {
        self.with(key, |values, now| {
            if values.revision(key) == revision {
                Ok(values.set(key, Some(value), now))
            } else {
                Err(self.error(ErrorKind::WrongRevision, key))
            }
        })
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.with(key, |values, now| {
            values.set(key, None, now);
            Ok(())
        })
    }

    async fn keys(&self) -> Result<Vec<String>, Error> {
        let mut state = self.handle.enter(|| format!("keys of bucket {}", self.name))?;
        let Some(values) = state.buckets.get_mut(&self.name) else { return Ok(Vec::new()) };
        values.expire(Instant::now());
        let set = values.values.iter().filter(|(_, value)| value.bytes.is_some());
        Ok(set.map(|(key, _)| key.clone()).collect())
    }
}

/// Whether a bucket may be called so.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn is_key(key: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_/=".contains(c);
    key.split('.').all(|token| !token.is_empty() && token.chars().all(allowed))
}
