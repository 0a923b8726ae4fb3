//! A stream that somebody deletes, a store that is full, a server that answers nothing: refused in bounded time, and got
//! over without a new connection or a new handle.

use std::collections::HashSet;

use broker::Consumer;
use futures_util::{FutureExt, StreamExt, TryStreamExt, future::join_all};
use tokio::time::Instant;

use super::*;

/// Far above what the handle promises (three tries of two seconds), for a busy machine.
const BOUND: Duration = Duration::from_secs(20);

async fn delete(server: &Server, stream: &str) {
    let client = async_nats::connect(server.url()).await.unwrap();
    assert!(async_nats::jetstream::new(client).delete_stream(stream).await.unwrap().success);
}

async fn held(server: &Server, stream: &str) -> u64 {
    held_if_there(server, stream).await.unwrap()
}

async fn held_if_there(server: &Server, stream: &str) -> Option<u64> {
    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream(stream).await.ok()?;
    Some(stream.cached_info().state.messages)
}

#[tokio::test]
async fn what_is_published_to_a_deleted_stream_is_stored_in_a_new_one() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS"), queue("OTHER")]).await.unwrap();
    let before = broker.publish(numbered("jobs.a", 0)).await.unwrap();
    delete(&server, "JOBS").await;
    let other = connect(&server).await;
    let mut looks = other.subscribe("$JS.API.STREAM.*.JOBS").await.unwrap();
    // All at once: one makes the stream, and none is lost in between.
    let stored = join_all((0..32).map(|number| broker.publish(numbered("jobs.a", number)))).await;
    let sequences: HashSet<u64> = stored.into_iter().map(|stored| stored.unwrap().sequence).collect();
    assert!(sequences.iter().all(|sequence| *sequence > before.sequence), "{sequences:?}");
    assert_eq!((sequences.len(), held(&server, "JOBS").await), (32, 32));
    // One look and one new stream, and what `held` has just asked; more only on a machine that stood still for long.
    let mut asked = 0;
    while looks.next().now_or_never().is_some() {
        asked += 1;
    }
    assert!((2..10).contains(&asked), "{asked} questions for one missing stream");
    // Again at once, when the last look is a moment ago: this is no promise to look, but it must not stay so.
    delete(&server, "JOBS").await;
    within("a stream that is deleted twice", async {
        while let Err(error) = broker.publish(numbered("jobs.a", 40)).await {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let nobodys = broker.publish(numbered("unknown.a", 1)).await.unwrap_err();
    assert_eq!(nobodys.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_waiting_consumer_goes_on_when_its_stream_is_deleted() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    let mut jobs = broker.consume(&consumer("JOBS")).await.unwrap();
    persist(&broker, numbered("jobs.a", 1)).await;
    within("the first", jobs.pull(1, PATIENCE)).await.unwrap().remove(0).ack().await.unwrap();
    let waiting =
        tokio::spawn(async move { jobs.pull(10, PATIENCE).await.map(|leases| number(&leases[0].message)) });
    delete(&server, "JOBS").await;
    let deleted = Instant::now();
    // Nobody publishes: the consumer itself misses the stream.
    within("the stream", async {
        while held_if_there(&server, "JOBS").await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    persist(&broker, numbered("jobs.a", 2)).await;
    assert_eq!(within("the second", waiting).await.unwrap().unwrap(), 2);
    println!("stream deleted to delivery from the new one: {:?}", deleted.elapsed());
}

#[tokio::test]
async fn a_deleted_stream_reads_as_empty() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    let log = |name| StreamSpec { retention: Retention::Limits, ..queue(name) };
    broker.ensure(&[log("LOG"), log("RES")]).await.unwrap();
    persist(&broker, numbered("log.a", 1)).await;
    delete(&server, "LOG").await;
    delete(&server, "RES").await;
    assert!(broker.last("LOG", "log.a").await.unwrap().is_none());
    let replayed: Vec<_> = broker.replay("RES", "res.>", 1).await.unwrap().try_collect().await.unwrap();
    assert!(replayed.is_empty());
    assert_eq!(broker.last("NOBODYS", "x.a").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_acknowledgement_from_before_settles_nothing_in_the_new_stream() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    let mut jobs = broker.consume(&consumer("JOBS")).await.unwrap();
    persist(&broker, numbered("jobs.a", 1)).await;
    let late = within("the first", jobs.pull(1, PATIENCE)).await.unwrap().remove(0);
    delete(&server, "JOBS").await;
    persist(&broker, numbered("jobs.a", 2)).await;
    let lease = within("the second", jobs.pull(1, PATIENCE)).await.unwrap().remove(0);
    assert_eq!(number(&lease.message), 2);
    late.ack().await.unwrap();
    // A confirmed word on the same connection, so the server has read what was sent before it.
    lease.settler().settle(broker::Settlement::Renew).await.unwrap();
    assert_eq!(held(&server, "JOBS").await, 1, "the work of a message that nobody has done is gone");
}

#[tokio::test]
async fn a_deleted_stream_is_missed_even_where_others_listen_on_its_subjects() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    // A listener takes what is published, so the server does not say that nobody does.
    let other = connect(&server).await;
    let _listener = other.subscribe("jobs.>").await.unwrap();
    delete(&server, "JOBS").await;
    persist(&broker, numbered("jobs.a", 1)).await;
    assert_eq!(held(&server, "JOBS").await, 1);
}

#[tokio::test]
async fn a_full_store_refuses_and_goes_on_when_there_is_room() {
    const STORE_BYTES: u64 = 1 << 20;
    let server = Server::with_store_max(STORE_BYTES).await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    let mut jobs = broker.consume(&consumer("JOBS")).await.unwrap();
    let large = |number: usize| Publication {
        message: message("jobs.a", &format!("{number:060000}")),
        id: Some(number.to_string()),
    };
    let mut stored = 0;
    let refused = within("a refusal", async {
        loop {
            match broker.publish(large(stored)).await {
                Ok(_) => stored += 1,
                Err(error) => return error,
            }
            assert!(stored < 100, "the store has no end");
        }
    })
    .await;
    assert_eq!(refused.kind(), ErrorKind::Full, "{refused}");
    let again = within("another refusal", broker.publish(large(stored))).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Full);
    let mut taken = 0;
    while taken < stored {
        for lease in within("what was stored", jobs.pull(4, PATIENCE)).await.unwrap() {
            lease.ack().await.unwrap();
            taken += 1;
        }
    }
    persist(&broker, large(stored)).await;
    let lease = within("what was refused before", jobs.pull(1, PATIENCE)).await.unwrap().remove(0);
    assert_eq!(number(&lease.message), stored);
}

#[tokio::test]
async fn a_frozen_server_is_given_up_in_bounded_time_and_taken_again() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    let mut jobs = broker.consume(&consumer("JOBS")).await.unwrap();
    persist(&broker, numbered("jobs.a", 0)).await;
    let lease = within("the message", jobs.pull(1, PATIENCE)).await.unwrap().remove(0);
    let waiting = tokio::spawn(async move { pull_until(&mut *jobs, 2).await });
    server.stop();
    let frozen = Instant::now();
    let settler = lease.settler();
    let (publish, last, replay, subjects, renew) = within("the end of all", async {
        tokio::join!(
            broker.publish(numbered("jobs.a", 1)),
            broker.last("JOBS", "jobs.a"),
            broker.replay("JOBS", "jobs.>", 1),
            broker.subjects("JOBS", ">"),
            settler.settle(broker::Settlement::Renew),
        )
    })
    .await;
    println!("all operations refused after {:?}", frozen.elapsed());
    assert!(frozen.elapsed() < BOUND, "{:?}", frozen.elapsed());
    let errors = [publish.err(), last.err(), replay.err(), subjects.err(), renew.err()];
    assert!(errors.into_iter().all(|error| error.unwrap().is_transient()));
    until(&broker, |link| matches!(link, Link::Down(_))).await;
    println!("link down after {:?}", frozen.elapsed());
    // Three pings of five seconds; the client's own default would make it minutes.
    assert!(frozen.elapsed() < 2 * BOUND, "{:?}", frozen.elapsed());
    server.cont();
    let thawed = Instant::now();
    until(&broker, |link| *link == Link::Up).await;
    persist(&broker, numbered("jobs.a", 2)).await;
    let errors = within("the message", waiting).await.unwrap();
    println!("healed {:?} after it went on", thawed.elapsed());
    // A pull may give up meanwhile, so that its caller learns of it; it does so once in a while, and not in a loop.
    assert!(errors < 10, "{errors} pulls failed");
}

/// Pulls until `wanted` comes, as callers do; says how many pulls failed.
async fn pull_until(jobs: &mut dyn Consumer, wanted: usize) -> usize {
    let mut errors = 0;
    loop {
        match jobs.pull(10, PATIENCE).await {
            Ok(leases) if leases.iter().any(|lease| number(&lease.message) == wanted) => return errors,
            Ok(_) => {}
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                errors += 1;
            }
        }
    }
}
