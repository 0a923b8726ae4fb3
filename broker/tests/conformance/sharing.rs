//! Several handles, several consumers: who gets which message, and how many at once.

use std::{collections::BTreeSet, time::Duration};

use broker::{Broker, ConsumerSpec, ErrorKind, Lease};
use tokio::time::timeout;

use crate::support::{
    LONG, WITHIN, assert_no_message, kind, open_worker, publish, publish_many, pull_all, pull_one, pull_some,
    stream, text, until_stored, work_queue, worker,
};

pub(crate) async fn handles_of_one_name_share_the_messages(broker: &dyn Broker) {
    let mut one = open_worker(broker, LONG).await;
    let mut two = broker.consume(&worker(LONG)).await.unwrap();
    publish_many(broker, "q.a", 20).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 20 {
        for consumer in [&mut one, &mut two] {
            for lease in consumer.pull(3, Duration::ZERO).await.unwrap() {
                assert!(seen.insert(lease.sequence), "message {} was given to both", lease.sequence);
                lease.ack().await.unwrap();
            }
        }
    }
    until_stored(broker, "Q", ">", 0).await;
}

pub(crate) async fn no_more_than_ack_pending_max_are_leased(broker: &dyn Broker) {
    broker.ensure(&[work_queue()]).await.unwrap();
    let spec = ConsumerSpec { ack_pending_max: 2, ..worker(LONG) };
    let mut one = broker.consume(&spec).await.unwrap();
    let mut two = broker.consume(&spec).await.unwrap();
    publish_many(broker, "q.a", 3).await;
    let mut leases = pull_all(&mut *one, 2).await;
    assert_no_message(&mut *two).await;
    one.close().await;
    leases.remove(0).ack().await.unwrap();
    assert_eq!(text(&pull_one(&mut *two).await.message), "2");
}

pub(crate) async fn a_delayed_message_keeps_its_place_among_the_leases(broker: &dyn Broker) {
    broker.ensure(&[work_queue()]).await.unwrap();
    let spec = ConsumerSpec { ack_pending_max: 1, ..worker(LONG) };
    let mut consumer = broker.consume(&spec).await.unwrap();
    publish_many(broker, "q.a", 2).await;
    pull_one(&mut *consumer).await.retry_after(Duration::from_millis(300)).await.unwrap();
    let next = pull_one(&mut *consumer).await;
    assert_eq!((text(&next.message), next.deliveries), ("0", 2), "the second message had to wait");
}

pub(crate) async fn a_pull_never_returns_more_than_its_credit(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    publish_many(broker, "q.a", 20).await;
    let mut leases: Vec<Lease> = Vec::new();
    for credit in [7, 1, 5, 2].into_iter().cycle() {
        let some = pull_some(&mut *consumer, credit).await;
        assert!((1..=credit).contains(&some.len()), "{} for a credit of {credit}", some.len());
        leases.extend(some);
        if leases.len() == 20 {
            break;
        }
    }
    let sequences: BTreeSet<_> = leases.iter().map(|lease| lease.sequence).collect();
    assert_eq!(sequences.len(), 20);
    assert!(leases.iter().all(|lease| lease.deliveries == 1));
}

pub(crate) async fn a_pull_that_is_dropped_loses_nothing(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    let mut leases = Vec::new();
    for body in 0..40 {
        publish(broker, "q.a", &body.to_string()).await.unwrap();
        if let Ok(some) = timeout(Duration::from_micros(body * 37), consumer.pull(4, LONG)).await {
            leases.extend(some.unwrap());
        }
    }
    // No lease has lapsed by then: what was lost would be missing.
    while leases.len() < 40 {
        leases.extend(pull_some(&mut *consumer, 4).await);
    }
    let sequences: BTreeSet<_> = leases.iter().map(|lease| lease.sequence).collect();
    assert_eq!(sequences.len(), 40);
}

pub(crate) async fn a_closed_consumer_gives_back_what_it_did_not_return(broker: &dyn Broker) {
    let mut one = open_worker(broker, LONG).await;
    publish_many(broker, "q.a", 10).await;
    let returned = pull_some(&mut *one, 4).await.len();
    // Perhaps more is on its way to it by now.
    let _ = timeout(Duration::from_micros(1), one.pull(4, LONG)).await.map(|more| more.unwrap()[0].settler());
    one.close().await;
    assert_eq!(kind(one.pull(1, LONG).await), ErrorKind::Closed);
    publish(broker, "q.a", "late").await.unwrap();
    let mut two = broker.consume(&worker(LONG)).await.unwrap();
    let mut last = String::new();
    let mut count = 0;
    while last != "late" {
        let lease = pull_one(&mut *two).await;
        last = text(&lease.message).to_owned();
        count += 1;
    }
    assert!((11 - returned - 4..=11 - returned).contains(&count), "{returned} returned, then {count}");
}

pub(crate) async fn a_consumer_gets_what_was_stored_before_it(broker: &dyn Broker) {
    broker.ensure(&[work_queue()]).await.unwrap();
    publish_many(broker, "q.a", 2).await;
    let mut consumer = broker.consume(&worker(LONG)).await.unwrap();
    assert_eq!(pull_all(&mut *consumer, 2).await.len(), 2);
}

pub(crate) async fn consumers_take_what_matches_their_filter(broker: &dyn Broker) {
    broker.ensure(&[work_queue()]).await.unwrap();
    let of =
        |name: &str| ConsumerSpec { name: name.to_owned(), filter: format!("q.{name}.*"), ..worker(LONG) };
    let mut one = broker.consume(&of("one")).await.unwrap();
    let mut two = broker.consume(&of("two")).await.unwrap();
    publish(broker, "q.one.x", "1").await.unwrap();
    publish(broker, "q.two.x", "2").await.unwrap();
    publish(broker, "q.nobody.x", "3").await.unwrap();
    for (consumer, body) in [(&mut one, "1"), (&mut two, "2")] {
        let lease = pull_one(&mut **consumer).await;
        assert_eq!(text(&lease.message), body);
        lease.ack().await.unwrap();
        assert_no_message(&mut **consumer).await;
    }
    until_stored(broker, "Q", ">", 1).await;
}

pub(crate) async fn a_waiting_pull_wakes_when_a_message_comes(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    let later = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        publish(broker, "q.a", "work").await.unwrap()
    };
    let (pulled, _) = tokio::join!(consumer.pull(10, WITHIN), later);
    assert_eq!(pulled.unwrap().len(), 1);
}

pub(crate) async fn a_queue_has_room_for_more_than_a_thousand_consumers(broker: &dyn Broker) {
    broker.ensure(&[work_queue()]).await.unwrap();
    for lane in 0..=1_000 {
        let (name, filter) = (format!("lane-{lane}"), format!("q.{lane}"));
        let mut consumer = broker.consume(&ConsumerSpec { name, filter, ..worker(LONG) }).await.unwrap();
        if lane == 1_000 {
            publish(broker, "q.1000", "x").await.unwrap();
            assert_eq!(text(&pull_one(&mut *consumer).await.message), "x");
        }
    }
}

pub(crate) async fn overlapping_filters_of_a_work_queue_are_refused(broker: &dyn Broker) {
    let _first = open_worker(broker, LONG).await;
    let other = ConsumerSpec { name: "other".to_owned(), filter: "q.a".to_owned(), ..worker(LONG) };
    assert_eq!(broker.consume(&other).await.err().map(|error| error.kind()), Some(ErrorKind::Invalid));
}

pub(crate) async fn a_consumer_of_a_missing_stream_is_not_found(broker: &dyn Broker) {
    let error = broker.consume(&worker(LONG)).await.err();
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::NotFound));
}

pub(crate) async fn on_a_stream_of_limits_every_consumer_gets_every_message(broker: &dyn Broker) {
    broker.ensure(&[stream("Q", "q.>")]).await.unwrap();
    let mut one = broker.consume(&worker(LONG)).await.unwrap();
    let other = ConsumerSpec { name: "other".to_owned(), filter: "q.*".to_owned(), ..worker(LONG) };
    let mut two = broker.consume(&other).await.unwrap();
    publish_many(broker, "q.a", 3).await;
    for consumer in [&mut one, &mut two] {
        for lease in pull_all(&mut **consumer, 3).await {
            lease.ack().await.unwrap();
        }
        assert_no_message(&mut **consumer).await;
    }
    until_stored(broker, "Q", ">", 3).await;
}
