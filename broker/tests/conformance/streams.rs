//! Making streams, and refusing those that promise less.

use std::time::Duration;

use broker::{Broker, ErrorKind, Limits, Retention, StreamSpec, Topology};
use schemas::Subjects;

use crate::support::{kind, publish, publish_many, stored, stream, work_queue};

pub(crate) async fn ensuring_twice_changes_nothing(broker: &dyn Broker) {
    let topology = Topology::new(Subjects::default());
    let limits = Limits { stream_bytes_max: 1 << 20, events_bytes_max: 1 << 20, ..Limits::default() };
    broker.ensure(&topology.streams(&limits)).await.unwrap();
    publish(broker, "dynode.req.acme.chat.completion", "x").await.unwrap();
    broker.ensure(&topology.streams(&limits)).await.unwrap();
    assert_eq!(stored(broker, &topology.requests, ">").await.len(), 1);
}

pub(crate) async fn limits_follow_what_is_ensured(broker: &dyn Broker) {
    broker.ensure(&[StreamSpec { messages_max: Some(1), ..stream("S", "s.>") }]).await.unwrap();
    publish(broker, "s.a", "0").await.unwrap();
    assert_eq!(kind(publish(broker, "s.a", "1").await), ErrorKind::Full);
    broker.ensure(&[StreamSpec { messages_max: Some(3), ..stream("S", "s.>") }]).await.unwrap();
    publish_many(broker, "s.a", 2).await;
    assert_eq!(kind(publish(broker, "s.a", "3").await), ErrorKind::Full);
}

pub(crate) async fn a_stream_with_a_weaker_promise_is_refused(broker: &dyn Broker) {
    let second = Duration::from_secs(1);
    let weak = [
        (StreamSpec { discard_old: true, ..stream("A", "a.>") }, stream("A", "a.>")),
        (stream("B", "b.>"), StreamSpec { first_wins: true, ..stream("B", "b.>") }),
        (StreamSpec { duplicate_window: second, ..stream("C", "c.>") }, stream("C", "c.>")),
        (stream("D", "d.>"), StreamSpec { retention: Retention::WorkQueue, ..stream("D", "d.>") }),
    ];
    for (have, want) in weak {
        broker.ensure(std::slice::from_ref(&have)).await.unwrap();
        let error = broker.ensure(&[want]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(&have.name), "{error} names the stream");
        broker.ensure(&[have]).await.unwrap();
    }
}

pub(crate) async fn streams_never_share_a_subject(broker: &dyn Broker) {
    broker.ensure(&[work_queue()]).await.unwrap();
    assert_eq!(kind(broker.ensure(&[stream("S", "*.a")]).await), ErrorKind::Invalid);
}
