//! The installation's keys: the first process that needs one makes it, and the broker keeps it for all.

use bytes::Bytes;

use crate::{Broker, Error, ErrorKind, Seams, Topology};

/// The key that signs links to assets.
pub const ASSET_LINKS: &str = "asset-links";
/// The key that signs the URLs to which providers report the end of long work.
pub const WEBHOOKS: &str = "webhooks";

/// The key that hashes API keys.
pub const API_KEYS: &str = "api-keys";

/// How many random numbers, of 8 bytes each, make up a key.
const KEY_WORDS: usize = 4;

/// The key `name`: 32 random bytes.
pub async fn key(
    broker: &dyn Broker,
    topology: &Topology,
    seams: &Seams,
    name: &str,
) -> Result<Bytes, Error> {
    let secrets = broker.bucket(&topology.secrets()).await?;
    if let Some((key, _)) = secrets.get(name).await? {
        return Ok(key);
    }
    let fresh: Vec<u8> = (0..KEY_WORDS).flat_map(|_| seams.random.next_u64().to_le_bytes()).collect();
    let fresh = Bytes::from(fresh);
    match secrets.create(name, fresh.clone()).await {
        Ok(_) => Ok(fresh),
        // Another process was first.
        Err(error) if error.kind() == ErrorKind::Exists => {
            secrets.get(name).await?.map(|(key, _)| key).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use schemas::Subjects;

    use super::*;
    use crate::memory::Memory;

    #[tokio::test]
    async fn all_who_ask_for_a_key_have_the_same_one() {
        let (broker, topology) = (Memory::default(), Topology::new(Subjects::default()));
        let of = async |seed, name| {
            let seams = Seams::simulated(seed, Timestamp::UNIX_EPOCH);
            key(&broker, &topology, &seams, name).await.unwrap()
        };
        let first = of(1, "a").await;
        assert_eq!(first.len(), 32);
        assert_eq!(of(2, "a").await, first);
        assert_ne!(of(3, "b").await, first);
    }
}
