//! What goes with the power: all that was acknowledged and was not on the disk yet.

use std::time::Duration;

use broker::{
    Broker, BucketSpec, Link, Settlement, Storage, StreamSpec,
    memory::{FaultClass, Memory, Options, Reach, Undoing, log::Event},
};
use bytes::Bytes;
use tokio::time::sleep;

use crate::{options, publish_as, pull_one, queue, worker};

const SYNC: Duration = Duration::from_secs(1);

/// A broker that syncs every second, with a work queue in files.
async fn durable() -> Memory {
    let memory = Memory::new(Options { sync_interval: Some(SYNC), ..options(1) });
    memory.ensure(&[StreamSpec { storage: Storage::File, ..queue() }]).await.unwrap();
    memory
}

/// Power off and on again.
fn fail(memory: &Memory) {
    memory.switch_on(FaultClass::PowerFailure, &Reach::default()).unwrap();
    assert!(matches!(*memory.link().borrow(), Link::Down(_)));
    memory.switch_off(FaultClass::PowerFailure);
    assert_eq!(*memory.link().borrow(), Link::Up);
}

/// What the last failure has undone, by subject.
fn undone(memory: &Memory) -> Vec<(&'static str, Undoing)> {
    let name = |subject: &str| if subject == "q.a" { "q.a" } else { "q.b" };
    memory.undone().iter().map(|undone| (name(&undone.message.subject), undone.what)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_since_the_last_sync_is_gone_and_its_sequence_is_used_again() {
    let memory = durable().await;
    publish_as(&memory, "synced", "q.a").await.unwrap();
    sleep(SYNC).await;
    let receipt = publish_as(&memory, "unsynced", "q.b").await.unwrap();
    fail(&memory);
    assert!(memory.last("Q", "q.a").await.unwrap().is_some());
    assert_eq!(memory.last("Q", "q.b").await.unwrap(), None);
    assert_eq!((memory.counters().unsynced, memory.fired_of(FaultClass::PowerFailure)), (1, 1));
    assert_eq!(undone(&memory), [("q.b", Undoing::Stored)]);
    assert!(publish_as(&memory, "synced", "q.a").await.unwrap().duplicate);
    let again = publish_as(&memory, "unsynced", "q.b").await.unwrap();
    assert_eq!((again.duplicate, again.sequence), (false, receipt.sequence));
    assert!(
        memory
            .log()
            .entries()
            .any(|entry| matches!(&entry.event, Event::Unsynced(name) if name.is("unsynced")))
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_done_since_the_last_sync_is_back_with_the_lease_it_had() {
    let memory = durable().await;
    let mut consumer = worker(&memory).await;
    for id in ["leased before", "leased after"] {
        publish_as(&memory, id, "q.a").await.unwrap();
    }
    let before = pull_one(&mut *consumer).await;
    sleep(SYNC).await;
    before.ack().await.unwrap();
    pull_one(&mut *consumer).await.ack().await.unwrap();
    fail(&memory);
    assert_eq!(memory.counters().restored, 2);
    let (back, earlier) = (("q.a", Undoing::Removed), ("q.a", Undoing::Delivered));
    assert_eq!(undone(&memory), [back, back, earlier, earlier]);
    // The second never left, as far as the disk knows; the first is still leased.
    let second = pull_one(&mut *consumer).await;
    assert_eq!((second.sequence, second.deliveries), (2, 1));
    let first = pull_one(&mut *consumer).await;
    assert_eq!((first.sequence, first.deliveries), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn an_ack_from_before_meets_the_message_that_has_its_sequence_now() {
    let memory = durable().await;
    let mut consumer = worker(&memory).await;
    publish_as(&memory, "lost", "q.a").await.unwrap();
    let lost = pull_one(&mut *consumer).await;
    fail(&memory);
    publish_as(&memory, "new", "q.a").await.unwrap();
    let new = pull_one(&mut *consumer).await;
    assert_eq!(new.sequence, lost.sequence);
    lost.ack().await.unwrap();
    assert_eq!(memory.last("Q", "q.a").await.unwrap(), None, "work that nobody has done is gone");
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_loses_nothing_that_a_power_failure_would() {
    let memory = durable().await;
    publish_as(&memory, "unsynced", "q.a").await.unwrap();
    memory.switch_on(FaultClass::Restart, &Reach::default()).unwrap();
    memory.switch_off(FaultClass::Restart);
    assert!(publish_as(&memory, "unsynced", "q.a").await.unwrap().duplicate);
    assert_eq!((memory.counters().unsynced, memory.fired_of(FaultClass::Restart)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_forgets_the_leases_and_settlements_of_the_last_moment() {
    let memory = durable().await;
    let mut consumer = worker(&memory).await;
    for id in ["1", "2"] {
        publish_as(&memory, id, "q.a").await.unwrap();
    }
    let first = pull_one(&mut *consumer).await;
    sleep(Duration::from_millis(10)).await;
    let second = pull_one(&mut *consumer).await;
    first.settler().settle(Settlement::RetryAfter(Duration::ZERO)).await.unwrap();
    memory.switch_on(FaultClass::Restart, &Reach::default()).unwrap();
    memory.switch_off(FaultClass::Restart);
    let start = tokio::time::Instant::now();
    let again = pull_one(&mut *consumer).await;
    assert_eq!((again.sequence, again.deliveries), (second.sequence, 1), "two attempts of one number");
    let again = pull_one(&mut *consumer).await;
    assert_eq!((again.sequence, again.deliveries), (first.sequence, 2));
    assert_eq!(start.elapsed(), crate::ACK_WAIT - Duration::from_millis(10), "it is still leased");
    // An ack removes the message at once, and that is not forgotten.
    second.ack().await.unwrap();
    again.ack().await.unwrap();
    memory.switch_on(FaultClass::Restart, &Reach::default()).unwrap();
    memory.heal_all();
    assert_eq!(memory.last("Q", "q.a").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn streams_lose_their_tails_one_by_one() {
    let memory = durable().await;
    let other = StreamSpec { name: "R".to_owned(), subjects: vec!["r.>".to_owned()], ..queue() };
    memory.ensure(&[StreamSpec { storage: Storage::File, ..other }]).await.unwrap();
    for subject in ["q.a", "r.a"] {
        publish_as(&memory, subject, subject).await.unwrap();
    }
    let only = Reach { pattern: "r.>".to_owned(), ..Reach::default() };
    memory.switch_on(FaultClass::PowerFailure, &only).unwrap();
    memory.heal_all();
    assert!(memory.last("Q", "q.a").await.unwrap().is_some());
    assert_eq!(memory.last("R", "r.a").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_syncs_each_change_loses_nothing() {
    let memory = Memory::new(options(1));
    memory.ensure(&[StreamSpec { storage: Storage::File, ..queue() }]).await.unwrap();
    publish_as(&memory, "1", "q.a").await.unwrap();
    fail(&memory);
    assert!(publish_as(&memory, "1", "q.a").await.unwrap().duplicate);
    assert_eq!(memory.fired_of(FaultClass::PowerFailure), 0, "it made no difference");
}

#[tokio::test(start_paused = true)]
async fn a_bucket_is_as_it_was_at_the_last_sync() {
    let memory = durable().await;
    let spec = BucketSpec { name: "settings".to_owned(), age_max: None, storage: Storage::File };
    let bucket = memory.bucket(&spec).await.unwrap();
    let value = |text: &'static str| Bytes::from_static(text.as_bytes());
    for key in ["kept", "changed"] {
        bucket.put(key, value("old")).await.unwrap();
    }
    sleep(SYNC).await;
    bucket.put("changed", value("new")).await.unwrap();
    bucket.put("made", value("new")).await.unwrap();
    bucket.delete("kept").await.unwrap();
    fail(&memory);
    assert_eq!(bucket.get("kept").await.unwrap(), Some((value("old"), 1)));
    assert_eq!(bucket.get("changed").await.unwrap(), Some((value("old"), 2)));
    assert_eq!(bucket.keys().await.unwrap(), ["changed", "kept"]);
    assert_eq!(bucket.put("made", value("again")).await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_from_before_is_taken_after_the_power_is_back() {
    let memory = durable().await;
    let mut consumer = worker(&memory).await;
    publish_as(&memory, "1", "q.a").await.unwrap();
    let lease = pull_one(&mut *consumer).await;
    sleep(SYNC).await;
    fail(&memory);
    lease.settler().settle(Settlement::Renew).await.unwrap();
    lease.ack().await.unwrap();
    assert_eq!(memory.last("Q", "q.a").await.unwrap(), None);
}
