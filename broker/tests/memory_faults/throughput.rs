//! A look at the cost of the common path. It says how fast it was, and judges only that all arrived.

use broker::Broker;
use tokio::time::Instant;

use crate::{PATIENCE, broker, message, publish_as, worker};

const MESSAGES: u64 = 20_000;
const BATCH: usize = 100;

#[tokio::test]
async fn many_messages_are_published_pulled_and_acked() {
    let memory = broker(1).await;
    let mut consumer = worker(&memory).await;
    let start = Instant::now();
    for batch in 0..MESSAGES / BATCH as u64 {
        for index in 0..BATCH {
            publish_as(&memory, &format!("{batch}-{index}"), "q.acme.chat").await.unwrap();
        }
        for lease in consumer.pull(BATCH, PATIENCE).await.unwrap() {
            lease.ack().await.unwrap();
        }
    }
    let rate = MESSAGES as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.0} messages a second published, pulled and acked, in a build without optimisation");
    assert_eq!((memory.counters().published, memory.counters().acked), (MESSAGES, MESSAGES));
    assert_eq!(memory.last("Q", "q.acme.chat").await.unwrap(), None);
}

#[tokio::test]
async fn a_backlog_of_many_subjects_costs_no_more_than_a_short_one() {
    let memory = broker(1).await;
    let start = Instant::now();
    for index in 0..MESSAGES {
        memory.send(message(&format!("q.tenant.{index}"), "")).await.unwrap();
    }
    for index in 0..MESSAGES {
        assert!(memory.last("Q", &format!("q.tenant.{index}")).await.unwrap().is_some());
    }
    println!("{MESSAGES} subjects sent and found in {:?}", start.elapsed());
}
