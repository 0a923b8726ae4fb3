//! Reading back what is stored.

use broker::{Bells, Broker, ErrorKind, Headers, Message, Publication, StreamSpec, message};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use tokio::time::timeout;

use crate::support::{
    LONG, WITHIN, kind, message as plain, open_worker, publish, publish_as, publish_many, pull_all, pull_one,
    stored, stream, text, until, until_stored, work_queue,
};

pub(crate) async fn the_last_message_of_a_subject_is_found(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    assert_eq!(broker.last("S", "s.a").await.unwrap(), None);
    publish_many(broker, "s.a", 3).await;
    publish(broker, "s.b", "other").await.unwrap();
    let last = broker.last("S", "s.a").await.unwrap().unwrap();
    assert_eq!((text(&last.message), last.sequence), ("2", 3));
    assert_eq!(broker.last("S", "s.a.b").await.unwrap(), None);
}

pub(crate) async fn a_replay_gives_one_subject_in_order(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    for body in 0..6 {
        publish(broker, ["s.a", "s.b"][body % 2], &body.to_string()).await.unwrap();
    }
    let replayed = stored(broker, "S", "s.b").await;
    let found: Vec<_> = replayed.iter().map(|stored| (stored.sequence, text(&stored.message))).collect();
    assert_eq!(found, [(2, "1"), (4, "3"), (6, "5")]);
    assert!(stored(broker, "S", "s.c").await.is_empty());
}

pub(crate) async fn a_replay_of_a_pattern_gives_all_its_subjects_in_order(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    for subject in ["s.a.x", "s.b", "s.b.x", "s.c.y"] {
        publish(broker, subject, "").await.unwrap();
    }
    let sequences = async |pattern| {
        stored(broker, "S", pattern).await.iter().map(|stored| stored.sequence).collect::<Vec<_>>()
    };
    assert_eq!(sequences("s.*.x").await, [1, 3]);
    assert_eq!(sequences("s.>").await, [1, 2, 3, 4]);
}

pub(crate) async fn a_replay_starts_where_it_is_told(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    publish_many(broker, "s.a", 5).await;
    for (from, count) in [(0, 5), (1, 5), (4, 2), (6, 0)] {
        let replay = broker.replay("S", "s.a", from).await.unwrap();
        assert_eq!(replay.try_collect::<Vec<_>>().await.unwrap().len(), count, "from {from}");
    }
}

pub(crate) async fn what_is_newer_than_a_time_is_found(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    assert_eq!(broker.first_since("S", "s.a", jiff::Timestamp::UNIX_EPOCH).await.unwrap(), None);
    for subject in ["s.a", "s.b", "s.a", "s.b"] {
        publish(broker, subject, "").await.unwrap();
    }
    let times: Vec<_> = stored(broker, "S", "s.>").await.iter().map(|stored| stored.stored_at).collect();
    let first = async |pattern, since| broker.first_since("S", pattern, since).await.unwrap();
    assert_eq!(first("s.a", jiff::Timestamp::UNIX_EPOCH).await, Some(1));
    assert_eq!(first("s.a", times[1]).await, Some(3));
    assert_eq!(first("s.*", times[1]).await, Some(2));
    assert_eq!(first("s.b", times[2]).await, Some(4));
    assert_eq!(first("s.a", times[3]).await, None);
    assert_eq!(first("s.>", times[3] + LONG).await, None);
}

pub(crate) async fn a_long_replay_is_complete(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    for body in 0..3000 {
        broker.send(plain(["s.a", "s.b"][body % 2], &body.to_string())).await.unwrap();
    }
    until(async || broker.last("S", "s.b").await.unwrap().is_some_and(|last| last.sequence == 3000)).await;
    for (pattern, count) in [("s.a", 1500), ("s.*", 3000)] {
        let replayed = stored(broker, "S", pattern).await;
        assert_eq!(replayed.len(), count);
        assert!(replayed.is_sorted_by_key(|stored| stored.sequence));
    }
}

pub(crate) async fn a_trimmed_stream_has_lost_its_oldest_messages(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    publish_many(broker, "s.a", 5).await;
    broker.trim("S", 2).await.unwrap();
    let left: Vec<_> = stored(broker, "S", "s.a").await.iter().map(|stored| stored.sequence).collect();
    assert_eq!(left, [3, 4, 5]);
    broker.trim("S", 100).await.unwrap();
    assert!(stored(broker, "S", "s.a").await.is_empty());
    assert_eq!(publish(broker, "s.a", "next").await.unwrap().sequence, 6);
}

pub(crate) async fn a_removed_message_is_gone(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    publish_many(broker, "q.a", 3).await;
    broker.remove("Q", 2).await.unwrap();
    assert_eq!(kind(broker.remove("Q", 2).await), ErrorKind::NotFound);
    assert_eq!(stored(broker, "Q", ">").await.len(), 2);
    let bodies: Vec<_> =
        pull_all(&mut *consumer, 2).await.iter().map(|lease| text(&lease.message).to_owned()).collect();
    assert_eq!(bodies, ["0", "2"]);
}

pub(crate) async fn what_is_not_there_is_not_found(broker: &dyn Broker) {
    assert_eq!(kind(broker.last("NONE", "s.a").await), ErrorKind::NotFound);
    assert_eq!(kind(broker.remove("NONE", 1).await), ErrorKind::NotFound);
    assert_eq!(kind(broker.subjects("NONE", ">").await), ErrorKind::NotFound);
    let replay = broker.replay("NONE", "s.a", 1).await;
    assert_eq!(replay.err().map(|error| error.kind()), Some(ErrorKind::NotFound));
}

pub(crate) async fn subjects_are_counted_until_their_messages_are_done(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    let subjects = async |pattern| broker.subjects("Q", pattern).await.unwrap();
    assert_eq!(subjects(">").await, []);
    publish_many(broker, "q.a", 3).await;
    publish_many(broker, "q.b.c", 1).await;
    assert_eq!(subjects(">").await, [("q.a".to_owned(), 3), ("q.b.c".to_owned(), 1)]);
    assert_eq!(subjects("q.*").await, [("q.a".to_owned(), 3)]);
    let lease = pull_one(&mut *consumer).await;
    assert_eq!(subjects("q.a").await, [("q.a".to_owned(), 3)], "it is not done yet");
    lease.ack().await.unwrap();
    until_stored(broker, "Q", ">", 3).await;
    assert_eq!(subjects("q.a").await, [("q.a".to_owned(), 2)]);
}

pub(crate) async fn what_is_stored_rings(broker: &dyn Broker) {
    let bells = Some(Bells { from: "q.>".to_owned(), to: "bell.q.>".to_owned() });
    broker.ensure(&[StreamSpec { bells, ..work_queue() }]).await.unwrap();
    let mut bells = broker.subscribe("bell.q.*").await.unwrap();
    let first = publish_as(broker, "one", "q.a", "payload").await.unwrap();
    publish_as(broker, "one", "q.a", "payload").await.unwrap();
    let second = publish_as(broker, "two", "q.b", "payload").await.unwrap();
    for (subject, stored) in [("bell.q.a", first), ("bell.q.b", second)] {
        let bell = timeout(WITHIN, bells.next()).await.expect("a bell in time").unwrap();
        assert_eq!((bell.subject.as_str(), bell.payload.len()), (subject, 0), "a repeat rings not");
        assert_eq!(bell.rings_for(), Some(stored.sequence));
    }
}

pub(crate) async fn headers_come_back_as_they_were(broker: &dyn Broker) {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut consumer = open_worker(broker, LONG).await;
    let mut subscription = broker.subscribe("q.a").await.unwrap();
    let headers = Headers::new()
        .with(message::CONTENT_TYPE, "application/msgpack")
        .with(message::TRACEPARENT, TRACE)
        .with("Dynode-Note", "naïve: a, b; c");
    let message = Message { headers, ..plain("q.a", "x") };
    broker.publish(Publication { message, id: Some("the id".to_owned()) }).await.unwrap();
    let heard = subscription.next().await.unwrap();
    let leased = pull_one(&mut *consumer).await;
    let last = broker.last("Q", "q.a").await.unwrap().unwrap();
    for message in [&heard, &leased.message, &last.message] {
        assert_eq!(message.headers.get("content-type"), Some("application/msgpack"));
        assert_eq!(message.headers.get("traceparent"), Some(TRACE));
        assert_eq!(message.headers.get("dynode-note"), Some("naïve: a, b; c"));
        assert_eq!(message.headers.get(message::MESSAGE_ID), Some("the id"));
        assert_eq!(message.headers.iter().count(), 4);
    }
}

pub(crate) async fn empty_and_large_bodies_come_back_as_they_were(broker: &dyn Broker) {
    let mut consumer = open_worker(broker, LONG).await;
    let large = Bytes::from((0..1 << 20).map(|index: u32| index.to_le_bytes()[1]).collect::<Vec<_>>());
    for payload in [Bytes::new(), large] {
        let message = Message { payload: payload.clone(), ..plain("q.a", "") };
        broker.publish(Publication { message, id: None }).await.unwrap();
        let lease = pull_one(&mut *consumer).await;
        assert!(lease.message.payload == payload);
        assert!(broker.last("Q", "q.a").await.unwrap().unwrap().message.payload == payload);
        lease.ack().await.unwrap();
    }
}

pub(crate) async fn the_next_message_of_a_subject_is_found(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    let mut sequences = Vec::new();
    for (subject, body) in [("s.a", "1"), ("s.b", "2"), ("s.a", "3")] {
        sequences.push(publish(broker, subject, body).await.unwrap().sequence);
    }
    for (from, found) in
        [(0, Some("1")), (sequences[0], Some("1")), (sequences[1], Some("3")), (sequences[2] + 1, None)]
    {
        let next = broker.next("S", "s.a", from).await.unwrap();
        assert_eq!(next.as_ref().map(|stored| text(&stored.message)), found, "from {from}");
    }
    assert!(broker.next("S", "s.c", 0).await.unwrap().is_none());
    assert_eq!(kind(broker.next("NONE", "s.a", 0).await), ErrorKind::NotFound);
}

pub(crate) async fn a_purged_subject_is_empty(broker: &dyn Broker) {
    broker.ensure(&[stream("S", "s.>")]).await.unwrap();
    for subject in ["s.a", "s.b", "s.a"] {
        publish(broker, subject, "x").await.unwrap();
    }
    broker.purge("S", "s.a").await.unwrap();
    broker.purge("S", "s.none").await.unwrap();
    assert_eq!(broker.subjects("S", ">").await.unwrap(), [("s.b".to_owned(), 1)]);
    assert_eq!(kind(broker.purge("NONE", "s.a").await), ErrorKind::NotFound);
}
