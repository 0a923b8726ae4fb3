//! One message, one consumer: what each settlement does.

use std::time::Duration;

use broker::{Broker, Settlement};
use jiff::{Timestamp, ToSpan};
use tokio::time::{Instant, sleep};

use crate::support::{
    LONG, SHORT, assert_no_message, open_worker, publish, publish_many, pull_all, pull_one, text,
    until_stored,
};

pub(crate) async fn an_acked_message_is_gone(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, SHORT).await;
    let receipt = publish(broker, "q.a", "work").await.unwrap();
    assert!(!receipt.duplicate);
    let lease = pull_one(&mut *consumer).await;
    assert_eq!((lease.message.subject.as_str(), text(&lease.message)), ("q.a", "work"));
    assert_eq!((lease.sequence, lease.deliveries), (receipt.sequence, 1));
    lease.ack().await.unwrap();
    until_stored(broker, "Q", ">", 0).await;
    sleep(SHORT).await;
    assert_no_message(&mut *consumer).await;
}

pub(crate) async fn an_unsettled_message_comes_again_with_a_higher_count(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, SHORT).await;
    publish(broker, "q.a", "work").await.unwrap();
    let first = pull_one(&mut *consumer).await;
    let sequence = first.sequence;
    drop(first);
    for deliveries in 2..4 {
        let again = pull_one(&mut *consumer).await;
        assert_eq!((again.deliveries, again.sequence), (deliveries, sequence));
    }
}

pub(crate) async fn a_message_given_back_comes_again_after_its_delay_and_not_before(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    publish(broker, "q.a", "work").await.unwrap();
    let lease = pull_one(&mut *consumer).await;
    let start = Instant::now();
    lease.retry_after(Duration::from_millis(500)).await.unwrap();
    assert_eq!(pull_one(&mut *consumer).await.deliveries, 2);
    // A server may be a little early by its own clock.
    assert!(start.elapsed() >= Duration::from_millis(450), "it came after {:?}", start.elapsed());
}

pub(crate) async fn a_message_given_back_without_delay_comes_again_at_once(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    publish(broker, "q.a", "work").await.unwrap();
    pull_one(&mut *consumer).await.retry_after(Duration::ZERO).await.unwrap();
    assert_eq!(pull_one(&mut *consumer).await.deliveries, 2);
}

pub(crate) async fn a_rejected_message_never_comes_again(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, SHORT).await;
    publish(broker, "q.a", "poison").await.unwrap();
    pull_one(&mut *consumer).await.reject().await.unwrap();
    until_stored(broker, "Q", ">", 0).await;
    sleep(SHORT).await;
    assert_no_message(&mut *consumer).await;
}

pub(crate) async fn a_renewed_lease_does_not_lapse(broker: &dyn Broker) {
    let ack_wait = Duration::from_secs(2);
    let mut consumer = open_worker(broker, ack_wait).await;
    publish(broker, "q.a", "work").await.unwrap();
    let lease = pull_one(&mut *consumer).await;
    for _ in 0..5 {
        sleep(ack_wait / 4).await;
        lease.settler().settle(Settlement::Renew).await.unwrap();
    }
    assert_no_message(&mut *consumer).await;
    lease.ack().await.unwrap();
    until_stored(broker, "Q", ">", 0).await;
}

pub(crate) async fn a_late_ack_of_a_lapsed_lease_removes_the_message(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, SHORT).await;
    publish(broker, "q.a", "work").await.unwrap();
    let lapsed = pull_one(&mut *consumer).await;
    let current = pull_one(&mut *consumer).await;
    assert_eq!((lapsed.deliveries, current.deliveries), (1, 2));
    lapsed.ack().await.unwrap();
    until_stored(broker, "Q", ">", 0).await;
    current.ack().await.unwrap();
    sleep(SHORT).await;
    assert_no_message(&mut *consumer).await;
}

pub(crate) async fn settling_twice_is_no_error(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    publish(broker, "q.a", "work").await.unwrap();
    let lease = pull_one(&mut *consumer).await;
    let settler = lease.settler();
    lease.ack().await.unwrap();
    until_stored(broker, "Q", ">", 0).await;
    for settlement in
        [Settlement::Renew, Settlement::Ack, Settlement::Reject, Settlement::RetryAfter(Duration::ZERO)]
    {
        settler.settle(settlement).await.unwrap();
    }
    assert_no_message(&mut *consumer).await;
}

pub(crate) async fn stored_at_is_sane_and_stays_over_redelivery(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    let before = Timestamp::now() - 1.second();
    publish(broker, "q.a", "work").await.unwrap();
    let lease = pull_one(&mut *consumer).await;
    let stored_at = lease.stored_at;
    assert!(before <= stored_at && stored_at <= Timestamp::now() + 1.second(), "stored at {stored_at}");
    lease.retry_after(Duration::from_millis(50)).await.unwrap();
    assert_eq!(pull_one(&mut *consumer).await.stored_at, stored_at);
    let stored = broker.last("Q", "q.a").await.unwrap().unwrap();
    assert_eq!(stored.stored_at, stored_at);
}

pub(crate) async fn a_lease_tells_how_many_wait_behind_it(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    publish_many(broker, "q.a", 3).await;
    let pending: Vec<_> = pull_all(&mut *consumer, 3).await.iter().map(|lease| lease.pending).collect();
    assert_eq!(pending, [2, 1, 0]);
}

pub(crate) async fn first_deliveries_come_in_order(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    publish_many(broker, "q.a", 50).await;
    let leases = pull_all(&mut *consumer, 50).await;
    let bodies: Vec<_> = leases.iter().map(|lease| text(&lease.message).to_owned()).collect();
    assert_eq!(bodies, (0..50).map(|body| body.to_string()).collect::<Vec<_>>());
}
