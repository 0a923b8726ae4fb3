//! Streams and consumers that are deleted under those who use them.

use broker::ErrorKind;
use tokio::time::sleep;

use crate::support::{
    A_WHILE, LONG, WITHIN, World, durable_queue, kind, message, publish, publish_as, pull_one, stored, text,
    until_stored, worker,
};

pub(crate) async fn a_deleted_consumer_is_made_anew_and_counts_from_one(world: &mut World) {
    world.broker.ensure(&[durable_queue()]).await.unwrap();
    let mut consumer = world.broker.consume(&worker(LONG)).await.unwrap();
    publish(&*world.broker, "q.a", "work").await.unwrap();
    let first = pull_one(&mut *consumer).await;
    world.delete_consumer().await;
    let again = pull_one(&mut *consumer).await;
    assert_eq!((again.deliveries, again.sequence), (1, first.sequence));
}

pub(crate) async fn a_lease_of_a_deleted_consumer_settles_nothing_before_it_is_delivered_anew(
    world: &mut World,
) {
    world.broker.ensure(&[durable_queue()]).await.unwrap();
    let mut consumer = world.broker.consume(&worker(LONG)).await.unwrap();
    publish(&*world.broker, "q.a", "work").await.unwrap();
    let first = pull_one(&mut *consumer).await;
    world.delete_consumer().await;
    let late = first.settler();
    assert_eq!(kind(late.settle(broker::Settlement::Renew).await), ErrorKind::NotFound);
    late.settle(broker::Settlement::Ack).await.unwrap();
    let mut anew = world.broker.consume(&worker(LONG)).await.unwrap();
    late.settle(broker::Settlement::Ack).await.unwrap();
    // A confirmed word after it on the same connection, so the broker has read it.
    late.settle(broker::Settlement::Renew).await.unwrap();
    assert_eq!(stored(&*world.broker, "Q", ">").await.len(), 1);
    assert_eq!(pull_one(&mut *anew).await.deliveries, 1);
}

pub(crate) async fn a_lease_of_a_deleted_consumer_settles_what_was_delivered_anew(world: &mut World) {
    world.broker.ensure(&[durable_queue()]).await.unwrap();
    let mut consumer = world.broker.consume(&worker(LONG)).await.unwrap();
    publish(&*world.broker, "q.a", "work").await.unwrap();
    let first = pull_one(&mut *consumer).await;
    world.delete_consumer().await;
    let _again = pull_one(&mut *consumer).await;
    // There is no fence.
    first.ack().await.unwrap();
    until_stored(&*world.broker, "Q", ">", 0).await;
}

pub(crate) async fn a_deleted_stream_is_made_anew_and_knows_nothing(world: &mut World) {
    world.broker.ensure(&[durable_queue()]).await.unwrap();
    let mut consumer = world.broker.consume(&worker(LONG)).await.unwrap();
    let before = publish_as(&*world.broker, "1", "q.a", "old").await.unwrap();
    let late = pull_one(&mut *consumer).await;
    world.delete_stream().await;
    let after = publish_as(&*world.broker, "1", "q.a", "new").await.unwrap();
    assert!(!after.duplicate && after.sequence > before.sequence);
    let lease = pull_one(&mut *consumer).await;
    assert_eq!((text(&lease.message), lease.deliveries), ("new", 1));
    late.ack().await.unwrap();
    lease.settler().settle(broker::Settlement::Renew).await.unwrap();
    assert_eq!(stored(&*world.broker, "Q", ">").await.len(), 1);
}

pub(crate) async fn a_deleted_stream_has_nothing_to_take_away(world: &mut World) {
    world.broker.ensure(&[durable_queue()]).await.unwrap();
    let receipt = publish(&*world.broker, "q.a", "old").await.unwrap();
    world.delete_stream().await;
    assert_eq!(kind(world.broker.remove("Q", receipt.sequence).await), ErrorKind::NotFound);
    assert_eq!(kind(world.broker.trim("Q", 1).await), ErrorKind::NotFound);
    assert_eq!(world.broker.last("Q", "q.a").await.unwrap(), None);
    world.broker.trim("Q", 1).await.unwrap();
}

pub(crate) async fn what_is_only_sent_makes_no_stream_anew(world: &mut World) {
    world.broker.ensure(&[durable_queue()]).await.unwrap();
    world.delete_stream().await;
    world.broker.send(message("q.a", "lost")).await.unwrap();
    publish(&*world.broker, "q.b", "kept").await.unwrap();
    assert_eq!(world.broker.last("Q", "q.a").await.unwrap(), None);
}

pub(crate) async fn a_waiting_pull_goes_on_when_its_consumer_is_deleted(world: &mut World) {
    world.broker.ensure(&[durable_queue()]).await.unwrap();
    let mut consumer = world.broker.consume(&worker(LONG)).await.unwrap();
    let delete = async {
        sleep(A_WHILE).await;
        world.delete_consumer().await;
        sleep(A_WHILE).await;
        publish(&*world.broker, "q.a", "work").await.unwrap();
    };
    let (pulled, ()) = tokio::join!(consumer.pull(1, WITHIN), delete);
    assert_eq!(pulled.unwrap().len(), 1);
}
