//! Faults between the broker and its readers.

use std::{collections::BTreeMap, time::Duration};

use broker::{
    Broker, Message,
    memory::{Fault, Memory, Options, Overflow, Rule},
};
use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use tokio::time::Instant;

use crate::{ACK_WAIT, broker, message, options, publish_as, pull_one, text, worker};

/// What has arrived by now.
fn arrived(subscription: &mut BoxStream<'static, Message>) -> Vec<String> {
    let mut bodies = Vec::new();
    while let Some(Some(heard)) = subscription.next().now_or_never() {
        bodies.push(text(&heard).to_owned());
    }
    bodies
}

#[tokio::test(start_paused = true)]
async fn a_delay_holds_a_message_back_and_all_that_follow_on_its_subject() {
    let memory = broker(1).await;
    let mut subscription = memory.subscribe("evt.>").await.unwrap();
    let rule = Rule::new(Fault::Delay(Duration::from_secs(5)), "evt.slow").times(1);
    memory.inject(rule).unwrap();
    for (subject, body) in [("evt.slow", "1"), ("evt.slow", "2"), ("evt.fast", "3")] {
        memory.send(message(subject, body)).await.unwrap();
    }
    assert_eq!(arrived(&mut subscription), ["3"]);
    let start = Instant::now();
    assert_eq!(text(&subscription.next().await.unwrap()), "1");
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(arrived(&mut subscription), ["2"]);
    assert_eq!(memory.counters().delayed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_delay_holds_back_what_a_consumer_pulls() {
    let memory = broker(1).await;
    let mut consumer = worker(&memory).await;
    memory.inject(Rule::new(Fault::Delay(Duration::from_secs(5)), "q.slow")).unwrap();
    publish_as(&memory, "1", "q.slow").await.unwrap();
    publish_as(&memory, "2", "q.fast").await.unwrap();
    let start = Instant::now();
    assert_eq!(pull_one(&mut *consumer).await.message.subject, "q.fast");
    assert_eq!(pull_one(&mut *consumer).await.message.subject, "q.slow");
    assert_eq!(start.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_message_never_reaches_the_subscriber_and_reaches_the_others() {
    let memory = broker(1).await;
    let mut one = memory.subscribe("evt.*").await.unwrap();
    let mut two = memory.subscribe("evt.*").await.unwrap();
    let drop = memory.inject(Rule::new(Fault::Drop, "evt.a").reader("evt.*#2").times(1)).unwrap();
    for body in ["1", "2"] {
        memory.send(message("evt.a", body)).await.unwrap();
    }
    assert_eq!(arrived(&mut one), ["1", "2"]);
    assert_eq!(arrived(&mut two), ["2"]);
    assert_eq!((memory.fired(drop), memory.counters().dropped), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_delivery_comes_again_when_its_lease_has_run_out() {
    let memory = broker(1).await;
    let mut consumer = worker(&memory).await;
    memory.inject(Rule::new(Fault::Drop, "q.>").times(1)).unwrap();
    publish_as(&memory, "1", "q.a").await.unwrap();
    let start = Instant::now();
    assert_eq!(pull_one(&mut *consumer).await.deliveries, 2);
    assert_eq!(start.elapsed(), ACK_WAIT);
    assert_eq!(memory.counters().lapsed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_comes_although_the_first_was_acked() {
    let memory = broker(1).await;
    let mut subscription = memory.subscribe("q.>").await.unwrap();
    let mut consumer = worker(&memory).await;
    memory.inject(Rule::new(Fault::Duplicate, "q.>")).unwrap();
    publish_as(&memory, "1", "q.a").await.unwrap();
    let first = pull_one(&mut *consumer).await;
    let sequence = first.sequence;
    first.ack().await.unwrap();
    let second = pull_one(&mut *consumer).await;
    assert_eq!((second.sequence, second.deliveries), (sequence, 2));
    second.ack().await.unwrap();
    assert_eq!(arrived(&mut subscription).len(), 2);
    assert_eq!(memory.counters().duplicated, 2);
}

/// What a subscriber hears of five messages on each of ten subjects, when they are shuffled.
async fn shuffled(seed: u64) -> Vec<(String, String)> {
    let memory = broker(seed).await;
    let mut subscription = memory.subscribe("evt.>").await.unwrap();
    memory.inject(Rule::new(Fault::Shuffle(Duration::from_secs(1)), "evt.>").probability(0.5)).unwrap();
    for index in 0..50 {
        memory.send(message(&format!("evt.{}", index % 10), &format!("{index:02}"))).await.unwrap();
    }
    let mut heard = Vec::new();
    while heard.len() < 50 {
        let message = subscription.next().await.unwrap();
        heard.push((message.subject.clone(), text(&message).to_owned()));
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn a_shuffle_follows_its_seed_and_keeps_the_order_within_each_subject() {
    let heard = shuffled(1).await;
    assert!(!heard.is_sorted_by_key(|(_, body)| body), "subjects overtake each other");
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for (subject, body) in &heard {
        assert!(
            last.insert(subject, body).is_none_or(|before| before < body.as_str()),
            "{subject} is in order"
        );
    }
    assert_eq!(heard, shuffled(1).await);
    assert_ne!(heard, shuffled(2).await);
}

#[tokio::test(start_paused = true)]
async fn a_lost_settlement_lets_the_message_come_again() {
    let memory = broker(1).await;
    let mut consumer = worker(&memory).await;
    memory.inject(Rule::new(Fault::LoseSettlement, "q.>").times(1)).unwrap();
    publish_as(&memory, "1", "q.a").await.unwrap();
    pull_one(&mut *consumer).await.ack().await.unwrap();
    let again = pull_one(&mut *consumer).await;
    assert_eq!(again.deliveries, 2);
    again.ack().await.unwrap();
    let counters = memory.counters();
    assert_eq!((counters.settlements_lost, counters.acked, counters.redelivered), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_full_subscriber_misses_the_newest() {
    let memory = Memory::new(Options { subscriber_queue_max: 2, ..options(1) });
    let mut subscription = memory.subscribe("evt.a").await.unwrap();
    for body in ["1", "2", "3"] {
        memory.send(message("evt.a", body)).await.unwrap();
    }
    assert_eq!(arrived(&mut subscription), ["1", "2"]);
    memory.send(message("evt.a", "4")).await.unwrap();
    assert_eq!(arrived(&mut subscription), ["4"]);
    assert_eq!(memory.counters().overflowed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_subscriber_is_closed_where_that_is_the_policy() {
    let limits = Options { subscriber_queue_max: 2, overflow: Overflow::Close, ..options(1) };
    let memory = Memory::new(limits);
    let mut subscription = memory.subscribe("evt.a").await.unwrap();
    for body in ["1", "2", "3"] {
        memory.send(message("evt.a", body)).await.unwrap();
    }
    let heard: Vec<_> = subscription.by_ref().map(|heard| text(&heard).to_owned()).collect().await;
    assert_eq!(heard, ["1", "2"]);
}
