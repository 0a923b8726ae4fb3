//! What a message costs on the broker in memory: published, pulled, acked.

use std::time::Duration;

use broker::{
    Broker, ConsumerSpec, Headers, Message, Publication, Seams, Topology,
    memory::{Memory, Options},
};
use bytes::Bytes;
use divan::{AllocProfiler, Bencher};
use jiff::Timestamp;
use schemas::Subjects;
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// So many messages, published one after the other, pulled at once, and acked.
#[divan::bench(args = [1, 100])]
fn publish_pull_ack(bencher: Bencher<'_, '_>, messages: usize) {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
    let topology = Topology::new(Subjects::default());
    let seams = Seams::simulated(7, Timestamp::UNIX_EPOCH);
    let memory = Memory::new(Options { seams, ..Options::default() });
    let work = ConsumerSpec {
        stream: topology.work.clone(),
        name: "bench".to_owned(),
        filter: topology.subjects.queue("work.>"),
        ack_wait: Duration::from_secs(30),
        ack_pending_max: 1_000,
        idle_max: None,
    };
    let ready = runtime.block_on(async {
        memory.ensure(&topology.streams(&broker::Limits::default())).await?;
        memory.consume(&work).await
    });
    let Ok(mut consumer) = ready else { return };
    let payload = Bytes::from(vec![b'x'; 1_024]);
    let mut number = 0_u64;
    bencher.counter(divan::counter::ItemsCount::new(messages)).bench_local(|| {
        runtime.block_on(async {
            for _ in 0..messages {
                number += 1;
                let subject = "dynode.work.openai.standard.own.acme".to_owned();
                let message = Message { subject, headers: Headers::new(), payload: payload.clone() };
                let id = Some(number.to_string());
                let _ = memory.publish(Publication { message, id }).await;
            }
            let Ok(leases) = consumer.pull(messages, Duration::from_secs(1)).await else { return };
            for lease in leases {
                let _ = lease.ack().await;
            }
        });
    });
}
