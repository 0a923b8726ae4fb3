//! The whole broker out of reach, and who is told.

use std::time::Duration;

use broker::{Broker, ErrorKind, Link, memory::Memory};
use futures_util::StreamExt;
use tokio::time::sleep;

use crate::{ACK_WAIT, PATIENCE, broker, message, publish_as, pull_one, worker};

#[tokio::test(start_paused = true)]
async fn nothing_works_while_the_link_is_down() {
    let memory = broker(1).await;
    let mut consumer = worker(&memory).await;
    publish_as(&memory, "1", "q.a").await.unwrap();
    let lease = pull_one(&mut *consumer).await;
    let mut link = memory.link();
    memory.disconnect();
    link.changed().await.unwrap();
    assert!(matches!(*link.borrow_and_update(), Link::Down(_)));
    let kinds = [
        publish_as(&memory, "2", "q.a").await.unwrap_err().kind(),
        memory.send(message("evt.a", "")).await.unwrap_err().kind(),
        memory.last("Q", "q.a").await.unwrap_err().kind(),
        consumer.pull(1, PATIENCE).await.unwrap_err().kind(),
        lease.ack().await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Disconnected; 5]);
    memory.reconnect();
    assert_eq!(*link.borrow(), Link::Up);
    assert_eq!(pull_one(&mut *consumer).await.deliveries, 2, "the ack was not heard");
    assert_eq!(memory.counters().disconnects, 1);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_pull_is_told_and_can_be_repeated() {
    let memory = broker(1).await;
    let mut consumer = worker(&memory).await;
    let cut = async {
        sleep(Duration::from_secs(1)).await;
        memory.disconnect();
    };
    let (pulled, ()) = tokio::join!(consumer.pull(1, PATIENCE), cut);
    assert_eq!(pulled.unwrap_err().kind(), ErrorKind::Disconnected);
    memory.reconnect();
    publish_as(&memory, "1", "q.a").await.unwrap();
    assert_eq!(pull_one(&mut *consumer).await.deliveries, 1);
}

#[tokio::test(start_paused = true)]
async fn leases_lapse_and_subscriptions_stay_while_the_link_is_down() {
    let memory = broker(1).await;
    let mut subscription = memory.subscribe("evt.a").await.unwrap();
    let mut consumer = worker(&memory).await;
    publish_as(&memory, "1", "q.a").await.unwrap();
    let _lapses = pull_one(&mut *consumer).await;
    memory.disconnect();
    sleep(ACK_WAIT).await;
    memory.reconnect();
    assert_eq!(consumer.pull(1, PATIENCE).await.unwrap()[0].deliveries, 2);
    memory.send(message("evt.a", "")).await.unwrap();
    assert_eq!(subscription.next().await.unwrap().subject, "evt.a");
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_wakes_who_waits_and_leaves_the_others_alone() {
    let memory = broker(1).await;
    let other = memory.clone();
    let mut consumer = worker(&memory).await;
    let mut subscription = memory.subscribe("evt.a").await.unwrap();
    let close = async {
        sleep(Duration::from_secs(1)).await;
        memory.close().await;
    };
    let (pulled, heard, ()) = tokio::join!(consumer.pull(1, PATIENCE), subscription.next(), close);
    assert_eq!(pulled.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(heard, None);
    publish_as(&other, "1", "q.a").await.unwrap();
    assert_eq!(pull_one(&mut *worker(&other).await).await.deliveries, 1);
}

#[tokio::test(start_paused = true)]
async fn two_brokers_share_nothing() {
    let (one, two) = (broker(1).await, broker(1).await);
    publish_as(&one, "1", "q.a").await.unwrap();
    one.disconnect();
    assert_eq!(two.last("Q", "q.a").await.unwrap(), None);
    assert!(!publish_as(&two, "1", "q.a").await.unwrap().duplicate);
    assert_eq!(Memory::default().last("Q", "q.a").await.unwrap_err().kind(), ErrorKind::NotFound);
}
