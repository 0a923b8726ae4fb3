//! How a queue with many consumers is told that a message is done.

use futures_util::StreamExt;

use super::*;

/// On which the server tells that a delivery was ended by somebody else than its worker, as a removal does.
const ENDED: &str = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.JOBS.>";
/// More than an acknowledgement is worth.
const LANES: usize = 40;

/// The consumer of lane `number`.
fn lane(number: usize) -> ConsumerSpec {
    ConsumerSpec { name: format!("lane{number}"), filter: format!("jobs.{number}"), ..consumer("JOBS") }
}

/// Publishes one message into each of so many lanes, takes it, and acknowledges it, when the server has said how many lanes
/// there are.
async fn work_through(broker: &JetStream, lanes: usize) {
    let mut consumers = Vec::new();
    for number in 0..lanes {
        consumers.push(broker.consume(&lane(number)).await.unwrap());
        persist(broker, numbered(&format!("jobs.{number}"), number)).await;
    }
    assert_eq!(broker.subjects("JOBS", ">").await.unwrap().len(), lanes);
    for consumer in &mut consumers {
        let lease = within("a message", consumer.pull(1, PATIENCE)).await.unwrap().remove(0);
        lease.ack().await.unwrap();
    }
    within("the end", async {
        while !broker.subjects("JOBS", ">").await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for consumer in &mut consumers {
        assert!(consumer.pull(1, Duration::ZERO).await.unwrap().is_empty(), "it is not delivered again");
    }
}

#[tokio::test]
async fn where_there_are_many_lanes_what_is_done_is_removed_and_its_delivery_ended() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    let mut ended = broker.subscribe(ENDED).await.unwrap();
    work_through(&broker, LANES).await;
    for _ in 0..LANES {
        within("the end of a delivery", ended.next()).await.unwrap();
    }
}

#[tokio::test]
async fn where_there_are_few_lanes_what_is_done_is_acknowledged() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    let mut ended = broker.subscribe(ENDED).await.unwrap();
    work_through(&broker, 3).await;
    broker.send(message("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.JOBS.none", "0")).await.unwrap();
    let first = within("the mark", ended.next()).await.unwrap();
    assert!(first.subject.ends_with(".none"), "{}", first.subject);
}

#[tokio::test]
async fn who_may_not_remove_acknowledges() {
    let server = Server::with_config(
        "authorization { users: [ { user: all, password: all }, { user: few, password: few, permissions: { \
         publish: { deny: \"$JS.API.STREAM.MSG.DELETE.>\" } } } ] }",
    )
    .await;
    let as_user = |name: &str| server.url().replace("nats://", &format!("nats://{name}:{name}@"));
    let owner = JetStream::connect(Config::new(as_user("all"))).await.unwrap();
    owner.ensure(&[queue("JOBS")]).await.unwrap();
    let broker = JetStream::connect(Config::new(as_user("few"))).await.unwrap();
    let mut ended = owner.subscribe(ENDED).await.unwrap();
    work_through(&broker, LANES).await;
    owner.send(message("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.JOBS.none", "0")).await.unwrap();
    let first = within("the mark", ended.next()).await.unwrap();
    assert!(first.subject.ends_with(".none"), "{}", first.subject);
}
