//! A broker that is killed and starts again, or stands still for a while: what it keeps, and what it forgets.

use broker::{BucketSpec, ErrorKind, Storage};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use crate::support::{
    LONG, SHORT, WITHIN, World, bucket, durable_queue, kind, message, publish, publish_as, pull_one, stored,
    stream, text, until, until_stored, work_queue, worker,
};

pub(crate) async fn leases_and_their_counts_outlive_a_restart(world: &mut World) {
    world.broker.ensure(&[durable_queue()]).await.unwrap();
    let mut consumer = world.broker.consume(&worker(SHORT)).await.unwrap();
    publish(&*world.broker, "q.a", "work").await.unwrap();
    drop(pull_one(&mut *consumer).await);
    let second = pull_one(&mut *consumer).await;
    assert_eq!(second.deliveries, 2);
    // A server that is killed within some 10 ms has not written down yet that it delivered.
    sleep(SHORT).await;
    world.restart().await;
    let third = pull_one(&mut *consumer).await;
    assert_eq!((third.deliveries, third.sequence), (3, second.sequence));
}

pub(crate) async fn a_lease_from_before_a_restart_can_be_settled(world: &mut World) {
    world.broker.ensure(&[durable_queue()]).await.unwrap();
    let mut consumer = world.broker.consume(&worker(LONG)).await.unwrap();
    publish(&*world.broker, "q.a", "work").await.unwrap();
    let lease = pull_one(&mut *consumer).await;
    // A server that is killed within some 10 ms has not written down yet that it delivered, and takes no ack for it.
    sleep(SHORT).await;
    world.restart().await;
    lease.ack().await.unwrap();
    until_stored(&*world.broker, "Q", ">", 0).await;
}

pub(crate) async fn a_restart_forgets_the_ids_of_what_is_done(world: &mut World) {
    world.broker.ensure(&[durable_queue()]).await.unwrap();
    let mut consumer = world.broker.consume(&worker(LONG)).await.unwrap();
    publish_as(&*world.broker, "done", "q.a", "").await.unwrap();
    pull_one(&mut *consumer).await.ack().await.unwrap();
    until_stored(&*world.broker, "Q", ">", 0).await;
    publish_as(&*world.broker, "kept", "q.a", "").await.unwrap();
    assert!(publish_as(&*world.broker, "done", "q.a", "").await.unwrap().duplicate);
    world.restart().await;
    assert!(publish_as(&*world.broker, "kept", "q.a", "").await.unwrap().duplicate);
    assert!(!publish_as(&*world.broker, "done", "q.a", "").await.unwrap().duplicate);
}

pub(crate) async fn a_stream_in_memory_is_empty_after_a_restart(world: &mut World) {
    world.broker.ensure(&[work_queue(), stream("S", "s.>")]).await.unwrap();
    let mut consumer = world.broker.consume(&worker(LONG)).await.unwrap();
    let lost = publish_as(&*world.broker, "1", "q.a", "lost").await.unwrap();
    publish(&*world.broker, "s.a", "lost").await.unwrap();
    let late = pull_one(&mut *consumer).await;
    world.restart().await;
    let again = publish_as(&*world.broker, "1", "q.a", "new").await.unwrap();
    assert!(!again.duplicate, "its ids are gone with it");
    assert!(again.sequence > lost.sequence, "an ack from before must not meet a new message");
    late.ack().await.unwrap();
    let lease = pull_one(&mut *consumer).await;
    assert_eq!((text(&lease.message), lease.deliveries), ("new", 1));
    assert_eq!(world.broker.last("S", "s.a").await.unwrap(), None);
}

pub(crate) async fn a_subscription_goes_on_after_a_restart(world: &mut World) {
    let mut subscription = world.broker.subscribe("live.>").await.unwrap();
    world.restart().await;
    world.broker.send(message("live.a", "heard")).await.unwrap();
    let heard = timeout(WITHIN, subscription.next()).await.expect("a message in time").unwrap();
    assert_eq!(text(&heard), "heard");
}

pub(crate) async fn a_bucket_in_memory_is_empty_after_a_restart(world: &mut World) {
    let durable = BucketSpec { name: "durable".to_owned(), storage: Storage::File, ..bucket() };
    let (kept, lost) =
        (world.broker.bucket(&durable).await.unwrap(), world.broker.bucket(&bucket()).await.unwrap());
    for bucket in [&kept, &lost] {
        bucket.put("key", Bytes::from_static(b"1")).await.unwrap();
        bucket.put("key", Bytes::from_static(b"2")).await.unwrap();
    }
    world.restart().await;
    assert_eq!(kept.get("key").await.unwrap(), Some((Bytes::from_static(b"2"), 2)));
    assert_eq!(lost.get("key").await.unwrap(), None);
    assert_eq!(lost.create("key", Bytes::new()).await.unwrap(), 1, "revisions begin anew");
}

pub(crate) async fn what_is_sent_to_a_frozen_broker_arrives_when_it_goes_on(world: &mut World) {
    world.broker.ensure(&[durable_queue()]).await.unwrap();
    let mut consumer = world.broker.consume(&worker(LONG)).await.unwrap();
    publish(&*world.broker, "q.a", "done").await.unwrap();
    let lease = pull_one(&mut *consumer).await;
    world.freeze();
    assert_eq!(kind(publish_as(&*world.broker, "1", "q.b", "late").await), ErrorKind::Timeout);
    world.broker.send(message("q.c", "late")).await.unwrap();
    lease.ack().await.unwrap();
    assert_eq!(kind(world.broker.last("Q", "q.b").await), ErrorKind::Timeout);
    world.thaw();
    until(async || {
        let subjects =
            stored(&*world.broker, "Q", ">").await.into_iter().map(|stored| stored.message.subject);
        subjects.eq(["q.b", "q.c"])
    })
    .await;
    assert!(publish_as(&*world.broker, "1", "q.b", "late").await.unwrap().duplicate);
}
