//! A server that dies, freezes, forgets; and what must not be lost by it.

use std::{collections::HashSet, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, future::join_all};
use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn nothing_is_lost_when_the_server_is_killed_under_a_running_consumer() {
    const MESSAGES: usize = 600;
    let mut server = Server::start().await;
    let broker = Arc::new(connect(&server).await);
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    let mut jobs = broker.consume(&consumer("JOBS")).await.unwrap();

    let publisher = tokio::spawn({
        let broker = Arc::clone(&broker);
        async move {
            for number in 0..MESSAGES {
                persist(&broker, numbered("jobs.a", number)).await;
            }
        }
    });
    let mut seen = HashSet::new();
    let mut kills = 0;
    while seen.len() < MESSAGES {
        match within("messages", jobs.pull(16, PATIENCE)).await {
            Ok(leases) => {
                for lease in leases {
                    seen.insert(number(&lease.message));
                    // An acknowledgement that is lost with the server means one more delivery.
                    let _ = lease.ack().await;
                }
            }
            Err(error) => assert!(is_transient(&error), "{error}"),
        }
        if seen.len() > 100 * (kills + 1) && kills < 3 {
            kills += 1;
            server.restart().await;
        }
    }
    publisher.await.unwrap();
    assert_eq!((seen.len(), kills), (MESSAGES, 3));
}

#[tokio::test]
async fn an_idle_consumer_hears_of_new_work_at_once_after_a_restart() {
    let mut server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    let mut jobs = broker.consume(&consumer("JOBS")).await.unwrap();
    let pulled = tokio::spawn(async move { jobs.pull(10, PATIENCE).await.unwrap().len() });
    server.kill().await;
    until(&broker, |link| matches!(link, Link::Down(_))).await;
    server.restart().await;
    until(&broker, |link| *link == Link::Up).await;
    let restarted = Instant::now();
    persist(&broker, numbered("jobs.a", 1)).await;
    assert_eq!(within("the message", pulled).await.unwrap(), 1);
    // Not by the end of a pull, nor by the silence of one.
    assert!(restarted.elapsed() < Duration::from_secs(4), "{:?}", restarted.elapsed());
}

#[tokio::test]
async fn a_deleted_consumer_is_made_anew() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    let mut jobs = broker.consume(&consumer("JOBS")).await.unwrap();
    persist(&broker, numbered("jobs.a", 1)).await;
    within("the first", jobs.pull(10, PATIENCE)).await.unwrap().remove(0).ack().await.unwrap();

    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("JOBS").await.unwrap();
    stream.delete_consumer("worker").await.unwrap();
    persist(&broker, numbered("jobs.a", 2)).await;
    let leases = within("the second", jobs.pull(10, PATIENCE)).await.unwrap();
    assert_eq!(number(&leases[0].message), 2);

    // And under a pull that waits.
    let waiting = tokio::spawn(async move { jobs.pull(10, PATIENCE).await.map(|leases| leases.len()) });
    within("a pull", async {
        while stream.get_consumer::<async_nats::jetstream::consumer::pull::Config>("worker").await.is_err()
            || stream.consumer_info("worker").await.unwrap().num_waiting == 0
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stream.delete_consumer("worker").await.unwrap();
    persist(&broker, numbered("jobs.a", 3)).await;
    assert!(within("the third", waiting).await.unwrap().unwrap() > 0);
}

#[tokio::test]
async fn a_stream_in_memory_is_back_after_a_restart() {
    let mut server = Server::start().await;
    let broker = connect(&server).await;
    let events = StreamSpec {
        storage: Storage::Memory,
        retention: Retention::Limits,
        discard_old: true,
        ..queue("EVT")
    };
    broker.ensure(&[events]).await.unwrap();
    server.restart().await;
    within("the stream", async {
        while broker.publish(numbered("evt.a", 1)).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(broker.last("EVT", "evt.a").await.unwrap().is_some());
}

#[tokio::test]
async fn many_small_messages_are_drained_with_little_credit_and_without_a_stall() {
    const MESSAGES: usize = 20_000;
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    for batch in 0..MESSAGES / 500 {
        let stored = (0..500).map(|number| broker.publish(numbered("jobs.a", batch * 500 + number)));
        assert!(join_all(stored).await.into_iter().all(|stored| stored.is_ok()));
    }
    let mut jobs = broker.consume(&consumer("JOBS")).await.unwrap();
    let mut drained = HashSet::new();
    let mut longest = Duration::ZERO;
    while drained.len() < MESSAGES {
        let started = Instant::now();
        let leases = within("messages", jobs.pull(10, PATIENCE)).await.unwrap();
        longest = longest.max(started.elapsed());
        assert!(leases.len() <= 10);
        for lease in leases {
            assert!(drained.insert(number(&lease.message)), "delivered twice");
            lease.ack().await.unwrap();
        }
    }
    assert!(longest < Duration::from_secs(4), "stood still for {longest:?}");
}

#[tokio::test]
async fn without_a_connection_nothing_hangs() {
    let mut server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    let mut jobs = broker.consume(&consumer("JOBS")).await.unwrap();
    persist(&broker, numbered("jobs.a", 1)).await;
    let lease = within("the message", jobs.pull(1, PATIENCE)).await.unwrap().remove(0);
    server.kill().await;
    until(&broker, |link| matches!(link, Link::Down(_))).await;

    within("sends", async {
        // More than the client buffers.
        for _ in 0..3_000 {
            let error = broker.send(message("live.a", "{}")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Disconnected);
        }
        let renewal = lease.settler().settle(broker::Settlement::Renew).await.unwrap_err();
        assert_eq!(renewal.kind(), ErrorKind::Disconnected);
        let refused = broker.publish(numbered("jobs.a", 2)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Disconnected);
        assert!(broker.subscribe("live.>").await.is_err());
        assert!(broker.last("JOBS", "jobs.a").await.is_err());
        // Acknowledgements are kept for the next connection, up to what the client takes.
        for _ in 0..3_000 {
            if lease.settler().settle(broker::Settlement::Ack).await.is_err() {
                break;
            }
        }
        broker.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_publish_that_a_frozen_server_stored_late_is_not_stored_twice() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    server.stop();
    let unknown = within("the time-out", broker.publish(numbered("jobs.a", 1))).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Timeout);
    server.cont();
    let receipt = within("the receipt", broker.publish(numbered("jobs.a", 1))).await.unwrap();
    assert_eq!((receipt.sequence, receipt.duplicate), (1, true));
}

#[tokio::test]
async fn a_replay_crosses_pages_and_leaves_no_consumer_behind() {
    const MESSAGES: usize = 1_000;
    let server = Server::start().await;
    let broker = connect(&server).await;
    let log = StreamSpec { retention: Retention::Limits, ..queue("LOG") };
    broker.ensure(&[log]).await.unwrap();
    let stored = (0..MESSAGES).map(|number| broker.publish(numbered(&format!("log.{}", number % 2), number)));
    assert!(join_all(stored).await.into_iter().all(|stored| stored.is_ok()));

    let replay = broker.replay("LOG", "log.1", 1).await.unwrap();
    // Stored after the replay began, so not part of it.
    persist(&broker, numbered("log.1", MESSAGES + 1)).await;
    let read: Vec<usize> = replay.map_ok(|stored| number(&stored.message)).try_collect().await.unwrap();
    assert_eq!(read.len(), MESSAGES / 2);
    assert!(read.iter().all(|number| number % 2 == 1));

    let from = broker.replay("LOG", "log.*", 999).await.unwrap().map(|stored| stored.unwrap().sequence);
    assert_eq!(from.collect::<Vec<_>>().await, [999, 1_000, 1_001]);
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut stream = async_nats::jetstream::new(client).get_stream("LOG").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.consumer_count, 0);
}
