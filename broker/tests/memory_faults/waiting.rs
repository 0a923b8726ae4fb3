//! Who waits is woken when there is something, to the instant, whoever made it so.

use std::time::Duration;

use broker::{
    Broker, Consumer, ConsumerSpec, Lease,
    memory::{Fault, Memory, Rule},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{ACK_WAIT, broker, publish_as, pull_one, worker};

const MOMENT: Duration = Duration::from_secs(5);

/// Waits for one message, and tells how long that took.
fn wait(mut consumer: Box<dyn Consumer>) -> JoinHandle<(Lease, Duration)> {
    tokio::spawn(async move {
        let start = Instant::now();
        let lease = pull_one(&mut *consumer).await;
        (lease, start.elapsed())
    })
}

/// A handle of a consumer that allows one lease at a time.
async fn lone_worker(memory: &Memory) -> Box<dyn Consumer> {
    let spec = ConsumerSpec {
        stream: "Q".to_owned(),
        name: "lone".to_owned(),
        filter: "q.>".to_owned(),
        ack_wait: ACK_WAIT,
        ack_pending_max: 1,
        idle_max: None,
    };
    memory.consume(&spec).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_message_wakes_one_who_waits() {
    let memory = broker(1).await;
    let waiting = [wait(worker(&memory).await), wait(worker(&memory).await), wait(worker(&memory).await)];
    sleep(MOMENT).await;
    for id in ["1", "2", "3"] {
        publish_as(&memory, id, "q.a").await.unwrap();
    }
    for task in waiting {
        assert_eq!(task.await.unwrap().1, MOMENT);
    }
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_one_who_is_gone_wakes_another_when_it_lapses() {
    let memory = broker(1).await;
    let gone = wait(worker(&memory).await);
    sleep(Duration::from_secs(1)).await;
    let other = wait(worker(&memory).await);
    sleep(MOMENT).await;
    publish_as(&memory, "1", "q.a").await.unwrap();
    drop(gone.await.unwrap());
    let (lease, waited) = other.await.unwrap();
    assert_eq!((lease.deliveries, waited), (2, MOMENT + ACK_WAIT));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_becomes_free_wakes_one_who_waits() {
    let memory = broker(1).await;
    for id in ["1", "2"] {
        publish_as(&memory, id, "q.a").await.unwrap();
    }
    let lease = pull_one(&mut *lone_worker(&memory).await).await;
    let other = wait(lone_worker(&memory).await);
    sleep(MOMENT).await;
    lease.ack().await.unwrap();
    let (lease, waited) = other.await.unwrap();
    assert_eq!((lease.sequence, waited), (2, MOMENT));
}

#[tokio::test(start_paused = true)]
async fn a_message_given_back_wakes_one_who_waits_when_its_delay_is_over() {
    for delay in [Duration::ZERO, Duration::from_secs(2)] {
        let memory = broker(1).await;
        publish_as(&memory, "1", "q.a").await.unwrap();
        let lease = pull_one(&mut *worker(&memory).await).await;
        let other = wait(worker(&memory).await);
        sleep(MOMENT).await;
        lease.retry_after(delay).await.unwrap();
        assert_eq!(other.await.unwrap().1, MOMENT + delay);
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_leaves_goes_to_the_next_who_waits() {
    let memory = broker(1).await;
    memory.inject(Rule::new(Fault::Duplicate, "q.>")).unwrap();
    let waiting = [wait(worker(&memory).await), wait(worker(&memory).await)];
    sleep(MOMENT).await;
    publish_as(&memory, "1", "q.a").await.unwrap();
    for task in waiting {
        assert_eq!(task.await.unwrap().1, MOMENT);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ring_for_one_who_stopped_waiting_goes_to_the_next() {
    let memory = broker(1).await;
    let stopped = wait(worker(&memory).await);
    sleep(Duration::from_secs(1)).await;
    let other = wait(worker(&memory).await);
    sleep(MOMENT).await;
    // Rung, and gone before it could look.
    publish_as(&memory, "1", "q.a").await.unwrap();
    stopped.abort();
    assert_eq!(other.await.unwrap().1, MOMENT);
}
