//! Keeps a provider's ledgers in the broker: reads one, changes it, and writes it if nobody else has in between.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use broker::{Broker, Bucket, BucketSpec, Error, ErrorKind, Storage};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout},
};
use tracing::{debug, warn};

use super::{
    ledger::{Ledger, SLOT},
    share::{Lease, Wish},
};

/// How often to read a ledger again that others change too.
const TRIES_MAX: u32 = 16;
/// If the broker takes longer than this, the clerk asks again, for the slot that has come by then.
const PATIENCE: Duration = Duration::from_secs(1);
/// The broker forgets a ledger without a lease for this long.
const AGE_MAX: Duration = Duration::from_secs(600);

/// Keeps the ledgers of one provider. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clerk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    broker: Arc<dyn Broker>,
    bucket_name: String,
    provider: String,
    /// Who holds the leases: a governor that replaces another one knows nothing of what that one has used.
    holder: String,
    bucket: OnceCell<Box<dyn Bucket>>,
    /// The ledgers as they were last seen, each with its revision.
    seen: Mutex<BTreeMap<usize, (Ledger, Option<u64>)>>,
}

impl Clerk {
    /// A clerk of `node`, for `provider`. The ledgers are in the bucket `bucket_name` of `broker`.
    pub fn new(broker: Arc<dyn Broker>, bucket_name: String, provider: String, node: String) -> Self {
        let (bucket, seen) = (OnceCell::new(), Mutex::default());
        Self(Arc::new(Inner { broker, bucket_name, provider, holder: node, bucket, seen }))
    }

    /// A clerk that holds nothing yet, for a governor that starts.
    pub(super) fn anew(&self, random: u64) -> Self {
        let Inner { broker, bucket_name, provider, holder, .. } = &*self.0;
        let node = format!("{holder}.{random:x}");
        Self::new(Arc::clone(broker), bucket_name.clone(), provider.clone(), node)
    }

    /// Leases as much of the wish as is free of the limits of `key`. `None` if that is too little, or if the broker
    /// does not answer: what it may have written then counts as used.
    pub(super) async fn lease(&self, key: usize, wish: &Wish) -> Option<Lease> {
        match timeout(PATIENCE, self.try_lease(key, wish)).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(error)) => {
                warn!(provider = self.0.provider, key = key + 1, %error, "cannot get a share of the provider's limits");
                self.0.seen.lock().remove(&key);
                None
            }
            Err(_) => {
                debug!(
                    provider = self.0.provider,
                    key = key + 1,
                    "the broker is slow; no share of the limits"
                );
                self.0.seen.lock().remove(&key);
                None
            }
        }
    }

    async fn try_lease(&self, key: usize, wish: &Wish) -> Result<Option<Lease>, Error> {
        let Inner { broker, provider, holder, seen, .. } = &*self.0;
        let bucket = self.bucket().await?;
        let name = format!("{provider}.{key}");
        for _ in 0..TRIES_MAX {
            let known = seen.lock().remove(&key);
            let (mut ledger, revision) = match known {
                Some(known) => known,
                None => match bucket.get(&name).await? {
                    Some((bytes, revision)) => (read(&bytes), Some(revision)),
                    None => (Ledger::default(), None),
                },
            };
            let at_ms = broker.now().as_millisecond();
            let slot_ms = SLOT.as_millis() as i64;
            let slot = at_ms.div_euclid(slot_ms);
            for (over, used) in &wish.used {
                ledger.give_back(holder, *over, *used);
            }
            let Some((slot, amount)) = ledger.lease(holder, slot, wish.least, wish.wanted, wish.quota) else {
                return Ok(None);
            };
            let left_ms = u64::try_from((slot + 1) * slot_ms - at_ms).unwrap_or(0);
            let until = Instant::now() + Duration::from_millis(left_ms);
            match write(bucket, &name, &ledger, revision).await {
                Ok(revision) => {
                    seen.lock().insert(key, (ledger, Some(revision)));
                    return Ok(Some(Lease { slot, until, amount }));
                }
                Err(error) if matches!(error.kind(), ErrorKind::WrongRevision | ErrorKind::Exists) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn bucket(&self) -> Result<&dyn Bucket, Error> {
        let Inner { broker, bucket_name, bucket, .. } = &*self.0;
        let spec = BucketSpec { name: bucket_name.clone(), age_max: Some(AGE_MAX), storage: Storage::File };
        bucket.get_or_try_init(|| broker.bucket(&spec)).await.map(|bucket| &**bucket)
    }
}

/// An unreadable ledger was written by another version: nothing is known of what was leased.
fn read(bytes: &Bytes) -> Ledger {
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        warn!(%error, "a ledger of leases cannot be read; it begins anew");
        Ledger::default()
    })
}

async fn write(
    bucket: &dyn Bucket,
    name: &str,
    ledger: &Ledger,
    revision: Option<u64>,
) -> Result<u64, Error> {
    let unwritable = |error| Error::new(ErrorKind::Invalid, format!("a ledger cannot be written: {error}"));
    let bytes = Bytes::from(serde_json::to_vec(ledger).map_err(unwritable)?);
    match revision {
        Some(revision) => bucket.update(name, bytes, revision).await,
        None => bucket.create(name, bytes).await,
    }
}
