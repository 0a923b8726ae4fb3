//! Key-value buckets.

use std::time::Duration;

use broker::{Broker, BucketSpec, ErrorKind};
use bytes::Bytes;

use crate::support::{bucket, kind, until};

const ONE: Bytes = Bytes::from_static(b"one");
const TWO: Bytes = Bytes::from_static(b"two");

pub(crate) async fn a_value_comes_back_with_its_revision(broker: &dyn Broker) {
    let bucket = broker.bucket(&bucket()).await.unwrap();
    assert_eq!(bucket.get("a.b").await.unwrap(), None);
    let first = bucket.put("a.b", ONE).await.unwrap();
    assert_eq!(bucket.get("a.b").await.unwrap(), Some((ONE, first)));
    let second = bucket.put("a.b", TWO).await.unwrap();
    assert!(second > first);
    assert_eq!(bucket.get("a.b").await.unwrap(), Some((TWO, second)));
}

pub(crate) async fn a_key_is_created_once(broker: &dyn Broker) {
    let bucket = broker.bucket(&bucket()).await.unwrap();
    let revision = bucket.create("key", ONE).await.unwrap();
    assert_eq!(kind(bucket.create("key", TWO).await), ErrorKind::Exists);
    assert_eq!(bucket.get("key").await.unwrap(), Some((ONE, revision)));
}

pub(crate) async fn an_update_needs_the_current_revision(broker: &dyn Broker) {
    let bucket = broker.bucket(&bucket()).await.unwrap();
    let first = bucket.create("key", ONE).await.unwrap();
    let second = bucket.update("key", TWO, first).await.unwrap();
    assert_eq!(kind(bucket.update("key", ONE, first).await), ErrorKind::WrongRevision);
    assert_eq!(kind(bucket.update("missing", ONE, first).await), ErrorKind::WrongRevision);
    assert_eq!(bucket.get("key").await.unwrap(), Some((TWO, second)));
}

pub(crate) async fn a_deleted_key_has_no_value_and_can_be_created_again(broker: &dyn Broker) {
    let bucket = broker.bucket(&bucket()).await.unwrap();
    let first = bucket.create("key", ONE).await.unwrap();
    bucket.delete("key").await.unwrap();
    assert_eq!(bucket.get("key").await.unwrap(), None);
    assert_eq!(kind(bucket.update("key", TWO, first).await), ErrorKind::WrongRevision);
    let again = bucket.create("key", TWO).await.unwrap();
    assert!(again > first);
    assert_eq!(bucket.get("key").await.unwrap(), Some((TWO, again)));
    bucket.delete("missing").await.unwrap();
}

pub(crate) async fn keys_with_a_value_are_listed(broker: &dyn Broker) {
    let bucket = broker.bucket(&bucket()).await.unwrap();
    assert!(bucket.keys().await.unwrap().is_empty());
    for key in ["b", "a.x", "c"] {
        bucket.put(key, ONE).await.unwrap();
    }
    bucket.put("b", TWO).await.unwrap();
    bucket.delete("c").await.unwrap();
    let mut keys = bucket.keys().await.unwrap();
    keys.sort();
    assert_eq!(keys, ["a.x", "b"]);
}

pub(crate) async fn changes_are_told_from_a_revision_on(broker: &dyn Broker) {
    let bucket = broker.bucket(&bucket()).await.unwrap();
    assert!(bucket.changes(0).await.unwrap().is_empty());
    bucket.put("b", ONE).await.unwrap();
    let middle = bucket.put("a.x", ONE).await.unwrap();
    let later = bucket.put("b", TWO).await.unwrap();
    bucket.delete("c").await.unwrap();
    let told = async |revision| {
        let changes = bucket.changes(revision).await.unwrap().into_iter();
        changes.map(|change| (change.key, change.value)).collect::<Vec<_>>()
    };
    let (a, b, c) = (("a.x".to_owned(), Some(ONE)), ("b".to_owned(), Some(TWO)), ("c".to_owned(), None));
    assert_eq!(told(0).await, [a, b.clone(), c.clone()]);
    assert_eq!(told(middle).await, [b, c.clone()]);
    assert_eq!(told(later).await, [c]);
    let last = bucket.changes(later).await.unwrap()[0].revision;
    assert!(last > later && told(last).await.is_empty());
}

pub(crate) async fn a_value_ages_out(broker: &dyn Broker) {
    let spec = BucketSpec { age_max: Some(Duration::from_secs(1)), ..bucket() };
    let bucket = broker.bucket(&spec).await.unwrap();
    bucket.put("key", ONE).await.unwrap();
    until(async || bucket.get("key").await.unwrap().is_none()).await;
    assert!(bucket.keys().await.unwrap().is_empty());
    bucket.create("key", TWO).await.unwrap();
}

pub(crate) async fn handles_of_one_bucket_share_it(broker: &dyn Broker) {
    let one = broker.bucket(&bucket()).await.unwrap();
    let revision = one.put("key", ONE).await.unwrap();
    let two = broker.bucket(&bucket()).await.unwrap();
    assert_eq!(two.get("key").await.unwrap(), Some((ONE, revision)));
    let other = broker.bucket(&BucketSpec { name: "other".to_owned(), ..bucket() }).await.unwrap();
    assert_eq!(other.get("key").await.unwrap(), None);
}
