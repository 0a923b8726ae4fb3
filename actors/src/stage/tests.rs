//! What the loop does with a stage that does not keep its word. No stage of the engine is so bad: its own clocks end every
//! silence before, so nothing but this sees whether the net below them holds.

use broker::{
    ErrorKind, Message, Publication, Seams, Topology,
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

/// Moves all the time, and never ends.
#[derive(Debug)]
struct Busy(Queue);

#[async_trait]
impl Stage for Busy {
    fn name(&self) -> &str {
        "busy"
    }

    fn queue(&self) -> Queue {
        self.0.clone()
    }

    fn first_silence(&self) -> Duration {
        SILENCE
    }

    async fn decide(&self, task: Task<'_>) -> Result<Verdict, broker::Error> {
        loop {
            task.progress.expect_within(SILENCE);
            sleep(Duration::from_secs(1)).await;
        }
    }
}

/// A broker that is out of reach when it is to be told something.
#[derive(Debug)]
struct CutOff;

#[async_trait]
impl Settle for CutOff {
    async fn settle(&self, _settlement: Settlement) -> Result<(), broker::Error> {
        Err(broker::Error::new(ErrorKind::Disconnected, "out of reach"))
    }
}

#[tokio::test(start_paused = true)]
async fn work_whose_lease_cannot_be_renewed_is_stopped_when_somebody_else_may_have_it() {
    let seams = Seams::simulated(1, Timestamp::UNIX_EPOCH);
    let broker: Arc<dyn broker::Broker> =
        Arc::new(Memory::new(Options { seams: seams.clone(), ..Options::default() }));
    let topology = Topology::new(Subjects::default());
    let queue = Queue::of_tenants(&topology.subjects, &topology.work, "work.busy", "busy", LEASE_TIME);
    let subject = format!("{}.acme.a", queue.base);
    let message = Message::new(&subject, schemas::Format::Json, "{}".into());
    let lease = Lease::new(message, 1, 1, Arc::new(CutOff));
    let slot = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
    let (back, mut returns) = mpsc::channel(1);
    let lane = Lane::of_tenant(Priority::Standard, "acme");
    let account = Return { lane, estimate: 1.0, cost: None, again: None };
    let held = Held::new(lease, slot, account, back, broker.link());
    let outbox = Outbox::new(broker, Arc::new(topology), seams);
    let metrics = Arc::new(Metrics::default());
    let runner = Runner::new(Arc::new(Busy(queue)), outbox, metrics, LEASE_TIME, CancellationToken::new());
    let (began, progress) = (Instant::now(), Progress::default());
    let ran = tokio::time::timeout(LEASE_TIME * 10, runner.run(held, &progress)).await;
    ran.expect("it goes on, as if nobody else had its work");
    let took = began.elapsed();
    assert!(took >= LEASE_TIME && took <= LEASE_TIME * 4 / 3 + Duration::from_millis(1), "{took:?}");
    assert_eq!(returns.recv().await.unwrap().again, None, "it is not given back: it is not held any more");
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
    let lane = Lane::of_tenant(Priority::Standard, "acme");
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
