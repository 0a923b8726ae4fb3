//! Messages for whoever listens now.

use broker::{Broker, ErrorKind, Link, StreamSpec, Subscription};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::support::{
    A_WHILE, LONG, WITHIN, bucket, kind, message, open_worker, publish, stored, stream, text, until_stored,
    worker,
};

async fn hear(subscription: &mut Subscription) -> (String, String) {
    let heard =
        timeout(WITHIN, subscription.next()).await.expect("a message in time").expect("an open subscription");
    (heard.subject.clone(), text(&heard).to_owned())
}

async fn assert_silence(subscription: &mut Subscription) {
    let heard = timeout(A_WHILE, subscription.next()).await;
    assert!(heard.is_err(), "nothing more to hear, got {heard:?}");
}

pub(crate) async fn a_subscriber_hears_what_its_own_handle_sends_in_order(broker: &dyn Broker) {
    let mut subscription = broker.subscribe("live.a").await.unwrap();
    for body in 0..100 {
        broker.send(message("live.a", &body.to_string())).await.unwrap();
    }
    for body in 0..100 {
        assert_eq!(hear(&mut subscription).await.1, body.to_string());
    }
    assert_silence(&mut subscription).await;
}

pub(crate) async fn patterns_hear_what_they_match(broker: &dyn Broker) {
    let mut one = broker.subscribe("live.*.x").await.unwrap();
    let mut rest = broker.subscribe("live.>").await.unwrap();
    for subject in ["live.a", "live.a.x", "live.a.x.y", "other.a.x"] {
        broker.send(message(subject, "")).await.unwrap();
    }
    assert_eq!(hear(&mut one).await.0, "live.a.x");
    assert_silence(&mut one).await;
    for subject in ["live.a", "live.a.x", "live.a.x.y"] {
        assert_eq!(hear(&mut rest).await.0, subject);
    }
    assert_silence(&mut rest).await;
}

pub(crate) async fn every_subscriber_hears_every_message(broker: &dyn Broker) {
    let mut one = broker.subscribe("live.a").await.unwrap();
    let mut two = broker.subscribe("live.a").await.unwrap();
    let three = broker.subscribe("live.a").await.unwrap();
    drop(three);
    broker.send(message("live.a", "x")).await.unwrap();
    assert_eq!(hear(&mut one).await, hear(&mut two).await);
}

pub(crate) async fn what_is_sent_into_a_stream_is_kept(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    let mut subscription = broker.subscribe("s.a").await.unwrap();
    for body in ["0", "1", "2"] {
        broker.send(message("s.a", body)).await.unwrap();
        assert_eq!(hear(&mut subscription).await.1, body);
    }
    until_stored(broker, "S", "s.a", 3).await;
    let stored = stored(broker, "S", "s.a").await;
    let bodies: Vec<_> = stored.iter().map(|stored| text(&stored.message)).collect();
    assert_eq!(bodies, ["0", "1", "2"]);
}

pub(crate) async fn what_is_published_is_heard(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    let mut subscription = broker.subscribe("s.*").await.unwrap();
    publish(broker, "s.a", "x").await.unwrap();
    assert_eq!(hear(&mut subscription).await, ("s.a".to_owned(), "x".to_owned()));
}

pub(crate) async fn what_a_stream_refuses_is_heard_all_the_same(broker: &dyn Broker) {
    broker.ensure(&[StreamSpec { first_wins: true, ..stream("S", "s.>") }]).await.unwrap();
    let mut subscription = broker.subscribe("s.a").await.unwrap();
    publish(broker, "s.a", "first").await.unwrap();
    assert_eq!(kind(publish(broker, "s.a", "second").await), ErrorKind::Exists);
    assert_eq!(hear(&mut subscription).await.1, "first");
    assert_eq!(hear(&mut subscription).await.1, "second");
}

pub(crate) async fn a_closed_broker_refuses_everything(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    let mut subscription = broker.subscribe("live.a").await.unwrap();
    let opened = broker.bucket(&bucket()).await.unwrap();
    broker.close().await;
    assert_eq!(kind(publish(broker, "q.a", "x").await), ErrorKind::Closed);
    assert_eq!(kind(broker.send(message("live.a", "x")).await), ErrorKind::Closed);
    assert_eq!(broker.subscribe("live.a").await.err().map(|error| error.kind()), Some(ErrorKind::Closed));
    assert_eq!(broker.consume(&worker(LONG)).await.err().map(|error| error.kind()), Some(ErrorKind::Closed));
    assert_eq!(kind(broker.last("Q", "q.a").await), ErrorKind::Closed);
    assert_eq!(kind(opened.get("key").await), ErrorKind::Closed);
    let pulled = timeout(WITHIN, consumer.pull(1, WITHIN)).await.expect("an answer in time");
    assert_eq!(kind(pulled), ErrorKind::Closed);
    let heard = timeout(WITHIN, subscription.next()).await.expect("an end in time");
    assert_eq!(heard, None);
}

pub(crate) async fn a_broker_says_what_it_is(broker: &dyn Broker) {
    let description = broker.describe();
    assert!(!description.name.is_empty() && !description.survives.is_empty());
    assert!(description.message_bytes_max >= 1 << 20);
    assert_eq!(*broker.link().borrow(), Link::Up);
}
