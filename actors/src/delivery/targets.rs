//! Records in the broker which targets take no more callbacks: every engine knows, and a restart changes nothing.
//!
//! Only callbacks that were given up are counted, so a target that answers costs one read.

use std::sync::Arc;

use broker::{Broker, Bucket, BucketSpec, Error, ErrorKind};
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::Url;
use schemas::{
    Target, Tenant,
    target::{id, key, shown},
};
use tokio::sync::OnceCell;

/// How often to try a count that others change at the same time; a lost count only disables the target later.
const TRIES: u32 = 4;

/// The records of targets.
#[derive(Debug)]
pub(super) struct Targets {
    broker: Arc<dyn Broker>,
    spec: BucketSpec,
    bucket: OnceCell<Box<dyn Bucket>>,
    /// How many callbacks are given up before nothing more is sent; 0 is without end.
    limit: u32,
}

/// Why a callback was given up.
pub(super) struct Failure<'a> {
    pub(super) why: &'a str,
    /// The target wants nothing more.
    pub(super) is_final: bool,
    pub(super) at: Timestamp,
}

/// One target of one tenant.
pub(super) struct Place {
    key: String,
    url: String,
}

impl Place {
    /// The place that `url` leads to, whatever its query says.
    pub(super) fn of(tenant: &Tenant, url: &Url) -> Self {
        let url = shown(url);
        Self { key: key(tenant, &id(&url)), url }
    }
}

impl Targets {
    pub(super) fn new(broker: Arc<dyn Broker>, spec: BucketSpec, limit: u32) -> Self {
        Self { broker, spec, bucket: OnceCell::new(), limit }
    }

    /// The record of a target that did not take its last callbacks.
    pub(super) async fn find(&self, place: &Place) -> Result<Option<Target>, Error> {
        Ok(self.read(place).await?.map(|(target, _)| target))
    }

    /// The target took a callback.
    pub(super) async fn forget(&self, place: &Place) -> Result<(), Error> {
        self.bucket().await?.delete(&place.key).await
    }

    /// A callback was given up; returns the record if nothing more is sent there from now on.
    pub(super) async fn count(&self, place: &Place, failure: &Failure<'_>) -> Result<Option<Target>, Error> {
        for _ in 0..TRIES {
            let (known, revision) = self.read(place).await?.unzip();
            let failures = known.as_ref().map_or(0, |target| target.failures).saturating_add(1);
            let was_disabled = known.and_then(|target| target.disabled_at);
            let is_over = failure.is_final || (self.limit > 0 && failures >= self.limit);
            let target = Target {
                url: place.url.clone(),
                failures,
                disabled_at: was_disabled.or(is_over.then_some(failure.at)),
                why: failure.why.to_owned(),
            };
            let unwritable = |error| {
                Error::new(
                    ErrorKind::Invalid,
                    format!("what is known of a target cannot be written: {error}"),
                )
            };
            let bytes = Bytes::from(serde_json::to_vec(&target).map_err(unwritable)?);
            let bucket = self.bucket().await?;
            let written = match revision {
                Some(revision) => bucket.update(&place.key, bytes, revision).await,
                None => bucket.create(&place.key, bytes).await,
            };
            match written {
                Err(error) if matches!(error.kind(), ErrorKind::WrongRevision | ErrorKind::Exists) => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(Some(target).filter(|_| is_over && was_disabled.is_none())),
            }
        }
        Ok(None)
    }

    /// An unreadable record says nothing against its target.
    async fn read(&self, place: &Place) -> Result<Option<(Target, u64)>, Error> {
        let Some((bytes, revision)) = self.bucket().await?.get(&place.key).await? else { return Ok(None) };
        let unreadable =
            Target { url: place.url.clone(), failures: 0, disabled_at: None, why: String::new() };
        Ok(Some((serde_json::from_slice(&bytes).unwrap_or(unreadable), revision)))
    }

    async fn bucket(&self) -> Result<&dyn Bucket, Error> {
        self.bucket.get_or_try_init(|| self.broker.bucket(&self.spec)).await.map(|bucket| &**bucket)
    }
}
