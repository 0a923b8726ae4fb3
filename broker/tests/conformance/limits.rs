//! What a stream takes, what it refuses, and what it takes for a repeat.

use std::time::Duration;

use broker::{Broker, ErrorKind, Message, Publication, StreamSpec};
use bytes::Bytes;
use futures_util::StreamExt;

use crate::support::{
    LONG, kind, message, open_worker, publish, publish_as, publish_many, pull_one, stored, stream, text,
    until, until_stored, work_queue,
};

pub(crate) async fn a_repeated_id_is_stored_once(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    let first = publish_as(broker, "id", "s.a", "one").await.unwrap();
    publish_as(broker, "other", "s.a", "two").await.unwrap();
    // The window is the stream's, not the subject's.
    let repeat = publish_as(broker, "id", "s.b", "three").await.unwrap();
    assert!(!first.duplicate && repeat.duplicate);
    assert_eq!(repeat.sequence, first.sequence);
    assert_eq!(stored(broker, "S", ">").await.len(), 2);
}

pub(crate) async fn a_repeated_id_is_known_after_the_first_was_acked(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    let first = publish_as(broker, "id", "q.a", "work").await.unwrap();
    pull_one(&mut *consumer).await.ack().await.unwrap();
    until_stored(broker, "Q", ">", 0).await;
    let repeat = publish_as(broker, "id", "q.a", "work").await.unwrap();
    assert!(repeat.duplicate);
    assert_eq!(repeat.sequence, first.sequence);
}

pub(crate) async fn an_id_is_forgotten_after_its_window(broker: &dyn Broker) {
    let spec = StreamSpec { duplicate_window: Duration::from_millis(500), ..stream("S", "s.>") };
    broker.ensure(&[spec]).await.unwrap();
    publish_as(broker, "id", "s.a", "one").await.unwrap();
    until(async || !publish_as(broker, "id", "s.a", "two").await.unwrap().duplicate).await;
    assert_eq!(stored(broker, "S", ">").await.len(), 2);
}

pub(crate) async fn a_refused_message_burns_no_id(broker: &dyn Broker) {
    broker.ensure(&[StreamSpec { messages_max: Some(1), ..stream("S", "s.>") }]).await.unwrap();
    let first = publish(broker, "s.a", "one").await.unwrap();
    assert_eq!(kind(publish_as(broker, "id", "s.a", "two").await), ErrorKind::Full);
    broker.remove("S", first.sequence).await.unwrap();
    assert!(!publish_as(broker, "id", "s.a", "two").await.unwrap().duplicate);
}

pub(crate) async fn a_stream_full_of_messages_refuses_one_more(broker: &dyn Broker) {
    broker.ensure(&[StreamSpec { messages_max: Some(2), ..work_queue() }]).await.unwrap();
    let mut consumer = open_worker_of_full(broker).await;
    publish_many(broker, "q.a", 2).await;
    assert_eq!(kind(publish(broker, "q.a", "2").await), ErrorKind::Full);
    let lease = pull_one(&mut *consumer).await;
    assert_eq!(kind(publish(broker, "q.a", "2").await), ErrorKind::Full, "a lease makes no room");
    lease.ack().await.unwrap();
    until(async || publish(broker, "q.a", "2").await.is_ok()).await;
    assert_eq!(stored(broker, "Q", ">").await.len(), 2);
}

async fn open_worker_of_full(broker: &dyn Broker) -> Box<dyn broker::Consumer> {
    broker.consume(&crate::support::worker(LONG)).await.unwrap()
}

pub(crate) async fn a_stream_full_of_bytes_refuses_one_more(broker: &dyn Broker) {
    broker.ensure(&[StreamSpec { bytes_max: Some(10_000), ..stream("S", "s.>") }]).await.unwrap();
    let body = "x".repeat(4_000);
    publish(broker, "s.a", &body).await.unwrap();
    publish(broker, "s.a", &body).await.unwrap();
    assert_eq!(kind(publish(broker, "s.a", &body).await), ErrorKind::Full);
    assert_eq!(stored(broker, "S", ">").await.len(), 2);
}

pub(crate) async fn a_stream_that_discards_old_takes_one_more(broker: &dyn Broker) {
    let spec = StreamSpec { messages_max: Some(3), discard_old: true, ..stream("S", "s.>") };
    broker.ensure(&[spec]).await.unwrap();
    publish_many(broker, "s.a", 5).await;
    let stored = stored(broker, "S", ">").await;
    let bodies: Vec<_> = stored.iter().map(|stored| text(&stored.message)).collect();
    assert_eq!(bodies, ["2", "3", "4"]);
}

pub(crate) async fn the_first_message_of_a_subject_stands(broker: &dyn Broker) {
    broker.ensure(&[StreamSpec { first_wins: true, ..stream("S", "s.>") }]).await.unwrap();
    publish_as(broker, "1", "s.a", "first").await.unwrap();
    assert_eq!(kind(publish_as(broker, "2", "s.a", "second").await), ErrorKind::Exists);
    publish_as(broker, "3", "s.b", "of another").await.unwrap();
    assert_eq!(text(&broker.last("S", "s.a").await.unwrap().unwrap().message), "first");
    assert_eq!(stored(broker, "S", ">").await.len(), 2);
}

pub(crate) async fn what_is_stored_only_as_the_first_is_heard_and_not_stored_behind_another(
    broker: &dyn Broker,
) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    let mut live = broker.subscribe("s.>").await.unwrap();
    broker.send(message("s.a", "first").only_as_first()).await.unwrap();
    broker.send(message("s.a", "too late").only_as_first()).await.unwrap();
    broker.send(message("s.a", "second")).await.unwrap();
    broker.send(message("s.b", "of another").only_as_first()).await.unwrap();
    for body in ["first", "too late", "second", "of another"] {
        assert_eq!(text(&live.next().await.unwrap()), body);
    }
    until_stored(broker, "S", "s.b", 1).await;
    let stored = stored(broker, "S", "s.a").await;
    let bodies: Vec<_> = stored.iter().map(|stored| text(&stored.message)).collect();
    assert_eq!(bodies, ["first", "second"]);
    let late = Publication { message: message("s.a", "too late").only_as_first(), id: Some("id".to_owned()) };
    assert_eq!(kind(broker.publish(late).await), ErrorKind::WrongRevision);
}

pub(crate) async fn a_repeat_of_the_first_message_is_a_duplicate_and_no_conflict(broker: &dyn Broker) {
    broker.ensure(&[StreamSpec { first_wins: true, ..stream("S", "s.>") }]).await.unwrap();
    let first = publish_as(broker, "1", "s.a", "first").await.unwrap();
    let repeat = publish_as(broker, "1", "s.a", "first").await.unwrap();
    assert!(repeat.duplicate);
    assert_eq!(repeat.sequence, first.sequence);
}

pub(crate) async fn a_subject_is_free_again_when_its_message_has_aged_out(broker: &dyn Broker) {
    let second = Duration::from_secs(1);
    let aging = StreamSpec { age_max: Some(second), duplicate_window: second, ..stream("S", "s.>") };
    broker.ensure(&[StreamSpec { first_wins: true, ..aging }]).await.unwrap();
    publish(broker, "s.a", "first").await.unwrap();
    until(async || publish(broker, "s.a", "second").await.is_ok()).await;
    assert_eq!(text(&broker.last("S", "s.a").await.unwrap().unwrap().message), "second");
    until(async || broker.last("S", "s.a").await.unwrap().is_none()).await;
}

pub(crate) async fn a_message_over_the_limit_is_too_large(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    let body = Bytes::from(vec![0; broker.describe().message_bytes_max + 1]);
    let large = Message { payload: body, ..message("s.a", "") };
    assert_eq!(kind(broker.send(large.clone()).await), ErrorKind::TooLarge);
    let publication = Publication { message: large, id: Some("id".to_owned()) };
    assert_eq!(kind(broker.publish(publication).await), ErrorKind::TooLarge);
    publish(broker, "s.a", "small").await.unwrap();
}

pub(crate) async fn a_subject_that_no_stream_takes_is_not_found(broker: &dyn Broker) {
    assert_eq!(kind(publish(broker, "nowhere.a", "x").await), ErrorKind::NotFound);
    assert_eq!(kind(publish_as(broker, "id", "nowhere.a", "x").await), ErrorKind::NotFound);
}

pub(crate) async fn a_subject_with_wildcards_or_blanks_is_invalid(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    for subject in ["", "s.", "s..a", "s.a b", "s.*", "s.>"] {
        assert_eq!(kind(publish(broker, subject, "x").await), ErrorKind::Invalid, "publish to {subject:?}");
        assert_eq!(kind(broker.send(message(subject, "x")).await), ErrorKind::Invalid, "send to {subject:?}");
    }
    for pattern in ["", "s..a", "s.>.a", "s. "] {
        let subscribed = broker.subscribe(pattern).await;
        let kind = subscribed.err().map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::Invalid), "subscribe to {pattern:?}");
    }
}
