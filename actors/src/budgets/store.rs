//! Keeps the books of budgets in the broker: reads a book, and writes it if nobody else has in between.

use std::{sync::Arc, time::Duration};

use broker::{Broker, Bucket, BucketSpec, Error, ErrorKind, Storage};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::book::Book;

/// A little longer than the longest period.
const AGE_MAX: Duration = Duration::from_secs(32 * 24 * 60 * 60);

/// The bucket of the books.
#[derive(Debug)]
pub(super) struct Store {
    broker: Arc<dyn Broker>,
    name: String,
    bucket: OnceCell<Box<dyn Bucket>>,
}

impl Store {
    /// The bucket `name`, opened, and created, when it is first needed.
    pub(super) fn new(broker: Arc<dyn Broker>, name: String) -> Self {
        Self { broker, name, bucket: OnceCell::new() }
    }

    /// The clock by which periods begin and end: the same for every engine.
    pub(super) fn now(&self) -> Timestamp {
        self.broker.now()
    }

    /// The book `name`, with its revision; an empty one if there is none.
    pub(super) async fn read(&self, name: &str) -> Result<(Book, Option<u64>), Error> {
        let Some((bytes, revision)) = self.bucket().await?.get(name).await? else {
            return Ok((Book::default(), None));
        };
        // A book of another version must not be taken for an empty one: what it says is spent would be free again.
        let unreadable = |error| {
            Error::new(ErrorKind::Invalid, format!("the budget's book {name} cannot be read: {error}"))
        };
        Ok((serde_json::from_slice(&bytes).map_err(unreadable)?, Some(revision)))
    }

    /// Writes the book in place of `revision`; returns the new revision, or `None` if another write came first.
    pub(super) async fn write(
        &self,
        name: &str,
        book: &Book,
        revision: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        let unwritable = |error| {
            Error::new(ErrorKind::Invalid, format!("the budget's book {name} cannot be written: {error}"))
        };
        let bytes = Bytes::from(serde_json::to_vec(book).map_err(unwritable)?);
        let bucket = self.bucket().await?;
        let written = match revision {
            Some(revision) => bucket.update(name, bytes, revision).await,
            None => bucket.create(name, bytes).await,
        };
        match written {
            Err(error) if matches!(error.kind(), ErrorKind::WrongRevision | ErrorKind::Exists) => Ok(None),
            other => other.map(Some),
        }
    }

    async fn bucket(&self) -> Result<&dyn Bucket, Error> {
        let spec = BucketSpec { name: self.name.clone(), age_max: Some(AGE_MAX), storage: Storage::File };
        self.bucket.get_or_try_init(|| self.broker.bucket(&spec)).await.map(|bucket| &**bucket)
    }
}
