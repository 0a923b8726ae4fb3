//! What the loop does with a stage that does not keep its word. No stage of the engine is so bad: its own clocks end every
//! silence before, so nothing but this sees whether the net below them holds.

use broker::{
    Message, Publication, Seams, Topology,
    memory::{Memory, Options},
};
use jiff::Timestamp;
use schemas::{Priority, Subjects};
use tokio::sync::Semaphore;

use super::*;

const LEASE_TIME: Duration = Duration::from_secs(3);
const SILENCE: Duration = Duration::from_secs(10);

/// Announces when it will move, and never does.
#[derive(Debug)]
struct Stuck(Queue);

#[async_trait]
impl Stage for Stuck {
    fn name(&self) -> &str {
        "stuck"
    }

    fn queue(&self) -> Queue {
        self.0.clone()
    }

    fn first_silence(&self) -> Duration {
        SILENCE
    }

    async fn decide(&self, _task: Task<'_>) -> Result<Verdict, broker::Error> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_stands_still_loses_its_lease_when_its_silence_is_over_and_not_before() {
    let seams = Seams::simulated(1, Timestamp::UNIX_EPOCH);
    let broker: Arc<dyn broker::Broker> =
        Arc::new(Memory::new(Options { seams: seams.clone(), ..Options::default() }));
    let topology = Topology::new(Subjects::default());
    broker.ensure(&topology.streams(&Default::default())).await.unwrap();
    let queue = Queue::of_tenants(&topology.subjects, &topology.work, "work.stuck", "stuck", LEASE_TIME);
    let subject = format!("{}.acme.a", queue.base);
    let message = Message::new(&subject, schemas::Format::Json, "{}".into());
    broker.publish(Publication { message, id: None }).await.unwrap();
    let lane = Lane { class: Priority::Standard, tenant: "acme".into() };
    let mut consumer = broker.consume(&queue.consumer(&lane)).await.unwrap();
    let lease = consumer.pull(1, Duration::ZERO).await.unwrap().remove(0);

    let slot = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
    let (back, mut returns) = mpsc::channel(1);
    let account = Return { lane, estimate: 1.0, cost: None, again: None };
    let held = Held::new(lease, slot, account, back, broker.link());
    let outbox = Outbox::new(broker.clone(), Arc::new(topology), seams);
    let runner = Runner::new(
        Arc::new(Stuck(queue)),
        outbox,
        Arc::new(Metrics::default()),
        LEASE_TIME,
        CancellationToken::new(),
    );
    let began = Instant::now();
    let progress = Progress::default();
    let ran = tokio::time::timeout(SILENCE * 10, runner.run(held, &progress)).await;
    ran.expect("the lease of work that stands still is renewed for ever");

    let took = began.elapsed();
    assert!(took > SILENCE && took <= SILENCE + LEASE_TIME / 3 + Duration::from_millis(1), "{took:?}");
    assert_eq!(returns.recv().await.unwrap().again, Some(Duration::ZERO));
    let again = consumer.pull(1, LEASE_TIME).await.unwrap();
    assert_eq!(again.iter().map(|lease| lease.deliveries).collect::<Vec<_>>(), [2]);
}
