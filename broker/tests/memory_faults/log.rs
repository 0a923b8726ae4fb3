//! The log tells what reached whom, in which order.

use broker::{
    Broker, Settlement,
    memory::{
        Fault, Memory, Options, Rule,
        log::{Event, Log, Name, Reader},
    },
};
use futures_util::StreamExt;

use crate::{broker, message, options, publish_as, pull_one, worker};

/// Two events to two subscribers, and one message through a consumer that fails once.
async fn logged(seed: u64) -> Log {
    let memory = broker(seed).await;
    let mut all = memory.subscribe("evt.>").await.unwrap();
    let mut one = memory.subscribe("evt.b").await.unwrap();
    let mut consumer = worker(&memory).await;
    for subject in ["evt.a", "evt.b"] {
        memory.send(message(subject, "")).await.unwrap();
        all.next().await.unwrap();
    }
    one.next().await.unwrap();
    memory.inject(Rule::new(Fault::Drop, "q.>").times(1)).unwrap();
    publish_as(&memory, "job 1", "q.a").await.unwrap();
    pull_one(&mut *consumer).await.ack().await.unwrap();
    memory.log()
}

#[tokio::test(start_paused = true)]
async fn deliveries_are_logged_by_reader_and_order() {
    let log = logged(1).await;
    log.assert_delivered("evt.a", "evt.>", 1);
    log.assert_delivered("evt.b", "evt.>", 2);
    log.assert_delivered("evt.b", "evt.b#2", 1);
    log.assert_delivered("job 1", "worker", 1);
    log.assert_delivered("q.a", "Q/worker", 1);
    log.assert_not_delivered("evt.a", "evt.b");
    assert_eq!(log.deliveries("worker").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn everything_that_happens_is_logged_in_order() {
    let name = Name { subject: "q.a".to_owned(), id: Some("job 1".to_owned()), sequence: Some(1) };
    let reader = Reader::Consumer { stream: "Q".into(), name: "worker".into() };
    let events: Vec<_> = logged(1).await.entries().map(|entry| entry.event.clone()).skip(3).collect();
    let expected = [
        Event::Published(name.clone()),
        Event::Dropped(name.clone(), reader.clone(), broker::memory::log::Cause::Fault),
        Event::Redelivered(name.clone(), reader.clone(), 2),
        Event::Settled(name, reader, Settlement::Ack),
    ];
    assert_eq!(events, expected);
}

#[tokio::test(start_paused = true)]
async fn equal_runs_have_equal_logs() {
    let events = async |seed| {
        let log = logged(seed).await;
        log.entries().map(|entry| entry.event.clone()).collect::<Vec<_>>()
    };
    assert_eq!(events(3).await, events(3).await);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "delivery 1 to evt.> is not evt.b")]
async fn a_wrong_order_is_a_failed_assertion() {
    logged(1).await.assert_delivered("evt.b", "evt.>", 1);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "evt.a reached evt.> 1 times")]
async fn a_delivery_that_must_not_be_is_a_failed_assertion() {
    logged(1).await.assert_not_delivered("evt.a", "evt.>");
}

#[tokio::test(start_paused = true)]
async fn the_log_is_off_unless_asked_for_and_bounded_then() {
    let silent = Memory::default();
    silent.send(message("evt.a", "")).await.unwrap();
    let _heard = silent.subscribe("evt.a").await.unwrap();
    assert_eq!(silent.log().entries().count(), 0);

    let memory = Memory::new(Options { log_entries_max: 3, ..options(1) });
    let mut heard = memory.subscribe("evt.>").await.unwrap();
    for index in 0..5 {
        memory.send(message(&format!("evt.{index}"), "")).await.unwrap();
        heard.next().await.unwrap();
    }
    let log = memory.log();
    assert_eq!((log.entries().count(), log.forgotten()), (3, 2));
}
