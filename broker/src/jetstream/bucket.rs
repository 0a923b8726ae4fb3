//! A key-value bucket in the layout of every NATS client: stream `KV_<name>`, one message per key.

use std::{sync::Arc, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::stream::{Config, DiscardPolicy, StorageType},
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use serde_json::Value;
use uuid::Uuid;

use super::{api, connection::Connection, publish, read, streams, wire};
use crate::{
    Bucket, BucketSpec, Change, Error, ErrorKind, Storage, Stored,
    message::{LAST_OF_SUBJECT, MESSAGE_ID},
};

/// Marks a message which says that its key has no value.
const OPERATION: &str = "KV-Operation";
/// How long a repeated write is recognised.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// An open bucket.
#[derive(Debug)]
pub(super) struct KeyValue {
    connection: Arc<Connection>,
    spec: BucketSpec,
    replicas: usize,
}

impl KeyValue {
    /// Opens a bucket; creates it if it is missing.
    pub(super) async fn open(
        connection: Arc<Connection>,
        spec: &BucketSpec,
        replicas: usize,
    ) -> Result<Self, Error> {
        let bucket = Self { connection, spec: spec.clone(), replicas };
        bucket.make().await?;
        Ok(bucket)
    }

    /// Creates a missing bucket. An existing one stays as it is: its owner may have configured it differently.
    async fn make(&self) -> Result<(), Error> {
        let stream = self.stream();
        match streams::info(&self.connection, &stream).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return other.map(drop),
        }
        let age = self.spec.age_max.unwrap_or_default();
        let config = Config {
            name: stream.clone(),
            subjects: vec![self.subject(">")],
            max_messages_per_subject: 1,
            max_messages: -1,
            max_bytes: -1,
            max_consumers: -1,
            max_age: age,
            duplicate_window: if age.is_zero() { DUPLICATE_WINDOW } else { DUPLICATE_WINDOW.min(age) },
            discard: DiscardPolicy::New,
            storage: match self.spec.storage {
                Storage::File => StorageType::File,
                Storage::Memory => StorageType::Memory,
            },
            num_replicas: self.replicas,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            ..Config::default()
        };
        api::call::<Value>(&self.connection, &format!("STREAM.CREATE.{stream}"), &config).await.map(drop)
    }

    fn stream(&self) -> String {
        format!("KV_{}", self.spec.name)
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.spec.name)
    }

    /// The last message of a key, with or without a value.
    async fn last(&self, key: &str) -> Result<Option<Stored>, Error> {
        read::last(&self.connection, &self.stream(), &self.subject(key)).await
    }

    /// Writes one message. If a server restart has wiped a bucket in memory, creates the bucket again.
    async fn write(&self, key: &str, value: Bytes, headers: &[(&str, &str)]) -> Result<u64, Error> {
        let mut map = HeaderMap::new();
        // With an id of its own, the write can be repeated if its answer was lost.
        wire::add(&mut map, MESSAGE_ID, &Uuid::now_v7().simple().to_string())?;
        for (name, value) in headers {
            wire::add(&mut map, name, value)?;
        }
        let subject = self.subject(key);
        let store = || publish::store(&self.connection, &subject, || Ok(map.clone()), &value, true);
        let stored = match store().await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make().await?;
                store().await
            }
            other => other,
        };
        stored.map(|receipt| receipt.sequence)
    }
}

#[async_trait]
impl Bucket for KeyValue {
    async fn get(&self, key: &str) -> Result<Option<(Bytes, u64)>, Error> {
        // A bucket in memory that went with its server counts as empty.
        let last = match self.last(key).await {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            other => other?,
        };
        Ok(last.filter(has_value).map(|stored| (stored.message.payload, stored.sequence)))
    }

    async fn put(&self, key: &str, value: Bytes) -> Result<u64, Error> {
        self.write(key, value, &[]).await
    }

    async fn create(&self, key: &str, value: Bytes) -> Result<u64, Error> {
        let exists =
            || Error::new(ErrorKind::Exists, format!("bucket {} has a value for {key}", self.spec.name));
        match self.write(key, value.clone(), &[(LAST_OF_SUBJECT, "0")]).await {
            Err(error) if error.kind() == ErrorKind::WrongRevision => {}
            other => return other,
        }
        // There is a value, or the mark of a removed one, which may be replaced if it is still there.
        let Some(mark) = self.last(key).await?.filter(|stored| !has_value(stored)) else {
            return Err(exists());
        };
        match self.write(key, value, &[(LAST_OF_SUBJECT, &mark.sequence.to_string())]).await {
            Err(error) if error.kind() == ErrorKind::WrongRevision => Err(exists()),
            other => other,
        }
    }

    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, Error> {
        self.write(key, value, &[(LAST_OF_SUBJECT, &revision.to_string())]).await
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.write(key, Bytes::new(), &[(OPERATION, "DEL")]).await.map(drop)
    }

    async fn keys(&self) -> Result<Vec<String>, Error> {
        let all = self.changes(0).await?.into_iter();
        Ok(all.filter(|change| change.value.is_some()).map(|change| change.key).collect())
    }

    /// The stream holds the last message of each key and no other.
    async fn changes(&self, revision: u64) -> Result<Vec<Change>, Error> {
        let prefix = self.subject("");
        let from = revision.saturating_add(1);
        let replay = match read::replay(&self.connection, &self.stream(), &self.subject(">"), from).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let stored: Vec<Stored> = replay.try_collect().await?;
        let change = |stored: Stored| {
            let key = stored.message.subject.strip_prefix(&prefix)?.to_owned();
            let value = has_value(&stored).then_some(stored.message.payload);
            Some(Change { key, value, revision: stored.sequence })
        };
        Ok(stored.into_iter().filter_map(change).collect())
    }
}

fn has_value(stored: &Stored) -> bool {
    stored.message.headers.get(OPERATION).is_none()
}
