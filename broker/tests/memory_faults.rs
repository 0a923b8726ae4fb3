//! The broker in memory can be told to fail, and says how: every fault fires, is seen, and is counted.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

#[path = "memory_faults/delivery.rs"]
mod delivery;
#[path = "memory_faults/link.rs"]
mod link;
#[path = "memory_faults/log.rs"]
mod log;
#[path = "memory_faults/nemesis.rs"]
mod nemesis;
#[path = "memory_faults/outage.rs"]
mod outage;
#[path = "memory_faults/power.rs"]
mod power;
#[path = "memory_faults/publish.rs"]
mod publish;
#[path = "memory_faults/same.rs"]
mod same;
#[path = "memory_faults/throughput.rs"]
mod throughput;
#[path = "memory_faults/waiting.rs"]
mod waiting;

use std::time::Duration;

use broker::{
    Broker, Consumer, ConsumerSpec, Error, Headers, Lease, Message, Publication, Receipt, Retention, Seams,
    Storage, StreamSpec,
    memory::{Memory, Options},
};
use bytes::Bytes;
use jiff::Timestamp;

const ACK_WAIT: Duration = Duration::from_secs(30);

/// Longer than any case runs.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A broker whose luck follows from `seed`, with a work queue `Q` of `q.>`.
async fn broker(seed: u64) -> Memory {
    let memory = Memory::new(options(seed));
    memory.ensure(&[queue()]).await.unwrap();
    memory
}

/// A stream `Q` of `q.>` from which an ack removes.
fn queue() -> StreamSpec {
    StreamSpec {
        name: "Q".to_owned(),
        subjects: vec!["q.>".to_owned()],
        retention: Retention::WorkQueue,
        storage: Storage::Memory,
        age_max: None,
        messages_max: None,
        bytes_max: None,
        first_wins: false,
        discard_old: false,
        duplicate_window: Duration::from_secs(120),
        bells: None,
    }
}

fn options(seed: u64) -> Options {
    let seams = Seams::simulated(seed, Timestamp::UNIX_EPOCH);
    Options { seams, log_entries_max: 10_000, ..Options::default() }
}

async fn worker(memory: &Memory) -> Box<dyn Consumer> {
    memory.consume(&worker_spec()).await.unwrap()
}

fn worker_spec() -> ConsumerSpec {
    ConsumerSpec {
        stream: "Q".to_owned(),
        name: "worker".to_owned(),
        filter: "q.>".to_owned(),
        ack_wait: ACK_WAIT,
        ack_pending_max: 1000,
        idle_max: None,
    }
}

fn message(subject: &str, body: &str) -> Message {
    let payload = Bytes::copy_from_slice(body.as_bytes());
    Message { subject: subject.to_owned(), headers: Headers::new(), payload }
}

async fn publish_as(memory: &Memory, id: &str, subject: &str) -> Result<Receipt, Error> {
    memory.publish(Publication { message: message(subject, ""), id: Some(id.to_owned()) }).await
}

async fn pull_one(consumer: &mut dyn Consumer) -> Lease {
    consumer.pull(1, PATIENCE).await.unwrap().remove(0)
}

fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}
