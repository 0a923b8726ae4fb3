//! Messages that are in a work queue and that its consumer takes for done: what a disk that was full leaves behind.

use std::{fs, path::Path};

use futures_util::StreamExt;

use super::*;

/// Keeps a copy of the files in `from`.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A server that has a message of `jobs.a`, numbered 1, which was acknowledged and whose removal was not written down.
async fn left_behind(server: &mut Server, broker: &JetStream) {
    let mut jobs = broker.consume(&consumer("JOBS")).await.unwrap();
    persist(broker, numbered("jobs.a", 1)).await;
    let lease = within("the message", jobs.pull(1, PATIENCE)).await.unwrap().remove(0);
    let (messages, before) = (server.messages_of("JOBS"), tempfile::tempdir().unwrap());
    copy(&messages, before.path());
    lease.ack().await.unwrap();
    within("the removal", async {
        while !broker.subjects("JOBS", ">").await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.end().await;
    fs::remove_dir_all(&messages).unwrap();
    copy(before.path(), &messages);
    server.restart().await;
    until(broker, |link| *link == Link::Up).await;
    let held = within("the stream", async {
        loop {
            match broker.subjects("JOBS", ">").await {
                Ok(held) => return held,
                Err(error) => assert!(is_transient(&error), "{error}"),
            }
        }
    });
    assert_eq!(held.await, [("jobs.a".to_owned(), 1)], "the message is not there: nothing is shown");
}

#[tokio::test]
async fn a_message_whose_removal_was_lost_is_delivered_again() {
    let mut server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    left_behind(&mut server, &broker).await;
    // One who never made sure of the stream, as a worker process.
    let worker = connect(&server).await;
    let mut jobs = worker.consume(&consumer("JOBS")).await.unwrap();
    let mut leases = within("the message", jobs.pull(10, PATIENCE)).await.unwrap();
    assert_eq!(leases.iter().map(|lease| number(&lease.message)).collect::<Vec<_>>(), [1]);
    leases.remove(0).ack().await.unwrap();
    // It ends there, and what comes later is delivered once.
    persist(&broker, numbered("jobs.a", 2)).await;
    let leases = within("the next", jobs.pull(10, PATIENCE)).await.unwrap();
    assert_eq!(leases.iter().map(|lease| number(&lease.message)).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn a_message_at_work_is_not_taken_for_left_over() {
    const LOOKS: usize = 3;
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[queue("JOBS")]).await.unwrap();
    // Its lease outlasts the looks.
    let patient = ConsumerSpec { ack_wait: 2 * PATIENCE, ..consumer("JOBS") };
    let mut jobs = broker.consume(&patient).await.unwrap();
    persist(&broker, numbered("jobs.a", 1)).await;
    let lease = within("the message", jobs.pull(1, PATIENCE)).await.unwrap().remove(0);
    let other = connect(&server).await;
    let mut questions = other.subscribe("$JS.API.CONSUMER.*.JOBS.worker").await.unwrap();
    let idle = tokio::spawn(async move {
        loop {
            let leases = jobs.pull(1, Duration::from_secs(1)).await.unwrap();
            if !leases.is_empty() {
                return leases;
            }
        }
    });
    for _ in 0..LOOKS {
        let question = within("a look", questions.next()).await.unwrap();
        assert_eq!(question.subject, "$JS.API.CONSUMER.INFO.JOBS.worker");
    }
    lease.ack().await.unwrap();
    persist(&broker, numbered("jobs.a", 2)).await;
    let leases = within("the next", idle).await.unwrap();
    assert_eq!(leases.iter().map(|lease| number(&lease.message)).collect::<Vec<_>>(), [2]);
}
