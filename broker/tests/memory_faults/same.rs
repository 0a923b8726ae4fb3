//! The same seed and the same calls give the same log, byte for byte, whatever goes wrong on the way.

use std::time::Duration;

use broker::{
    Broker, BucketSpec, Lease, Settlement, Storage, StreamSpec, Subscription,
    memory::{FaultClass, Memory, Options, Reach},
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use tokio::{runtime, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::{message, options, publish_as, queue, worker, worker_spec};

/// Longer than any operation takes, whatever is wrong with the broker.
const PATIENCE: Duration = Duration::from_secs(40);
const SUBJECTS: [&str; 5] = ["q.a", "q.b", "mem.a", "mem.b", "live.a"];
const PATTERNS: [&str; 3] = [">", "q.>", "mem.*"];

#[derive(Debug, Clone)]
enum Step {
    Publish { subject: usize, id: u8 },
    Send { subject: usize },
    Pull { max: usize, keep: bool, settlement: Settlement },
    Settle { lease: prop::sample::Index, settlement: Settlement },
    Put { key: u8 },
    Read { subject: usize },
    Hear,
    Wait(u64),
    Switch { class: usize, on: bool, pattern: usize, percent: u8, delay: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let settlement = || {
        prop_oneof![
            4 => Just(Settlement::Ack),
            1 => Just(Settlement::Reject),
            1 => Just(Settlement::Renew),
            2 => (0..20_000_u64).prop_map(|delay| Settlement::RetryAfter(Duration::from_millis(delay))),
        ]
    };
    let subject = || 0..SUBJECTS.len();
    let step = prop_oneof![
        6 => (subject(), 0..20_u8).prop_map(|(subject, id)| Step::Publish { subject, id }),
        3 => subject().prop_map(|subject| Step::Send { subject }),
        4 => (1..5_usize, any::<bool>(), settlement())
            .prop_map(|(max, keep, settlement)| Step::Pull { max, keep, settlement }),
        3 => (any::<prop::sample::Index>(), settlement())
            .prop_map(|(lease, settlement)| Step::Settle { lease, settlement }),
        1 => (0..3_u8).prop_map(|key| Step::Put { key }),
        2 => subject().prop_map(|subject| Step::Read { subject }),
        2 => Just(Step::Hear),
        3 => (0..15_000_u64).prop_map(Step::Wait),
        5 => (0..FaultClass::ALL.len(), prop::bool::weighted(0.6), 0..PATTERNS.len(), 1..=100_u8, 0..5_000_u64)
            .prop_map(|(class, on, pattern, percent, delay)| Step::Switch { class, on, pattern, percent, delay }),
    ];
    prop::collection::vec(step, 1..80)
}

/// A broker, who uses it, and what they were told.
struct Rig {
    memory: Memory,
    consumer: Box<dyn broker::Consumer>,
    bucket: Box<dyn broker::Bucket>,
    subscription: Subscription,
    leases: Vec<Lease>,
    told: Vec<String>,
    // Works on its own, so that there is more than one task to be woken.
    _colleague: AbortOnDropHandle<()>,
}

impl Rig {
    async fn new(seed: u64) -> Self {
        let memory = Memory::new(Options { sync_interval: Some(Duration::from_secs(2)), ..options(seed) });
        let files = StreamSpec { storage: Storage::File, ..queue() };
        let other = StreamSpec { name: "M".to_owned(), subjects: vec!["mem.>".to_owned()], ..queue() };
        memory.ensure(&[files, other]).await.unwrap();
        let spec = BucketSpec { name: "b".to_owned(), age_max: None, storage: Storage::File };
        Self {
            consumer: worker(&memory).await,
            bucket: memory.bucket(&spec).await.unwrap(),
            subscription: memory.subscribe(">").await.unwrap(),
            leases: Vec::new(),
            told: Vec::new(),
            _colleague: AbortOnDropHandle::new(tokio::spawn(colleague(memory.clone()))),
            memory,
        }
    }

    async fn take(&mut self, step: &Step) {
        let told = match step {
            Step::Publish { subject, id } => {
                format!("{:?}", publish_as(&self.memory, &id.to_string(), SUBJECTS[*subject]).await)
            }
            Step::Send { subject } => {
                format!("{:?}", self.memory.send(message(SUBJECTS[*subject], "")).await)
            }
            Step::Pull { max, keep, settlement } => self.pull(*max, *keep, *settlement).await,
            Step::Settle { lease, settlement } if !self.leases.is_empty() => {
                format!("{:?}", lease.get(&self.leases).settler().settle(*settlement).await)
            }
            Step::Settle { .. } => String::new(),
            Step::Put { key } => format!("{:?}", self.bucket.put(&key.to_string(), Bytes::new()).await),
            Step::Read { subject } => format!(
                "{:?} {:?} {:?}",
                self.memory.last("Q", SUBJECTS[*subject]).await,
                self.memory.subjects("M", ">").await,
                self.bucket.keys().await
            ),
            Step::Hear => {
                let mut heard = Vec::new();
                while let Some(Some(message)) = self.subscription.next().now_or_never() {
                    heard.push(message.subject);
                }
                heard.join(" ")
            }
            Step::Wait(milliseconds) => {
                sleep(Duration::from_millis(*milliseconds)).await;
                String::new()
            }
            Step::Switch { class, on, pattern, percent, delay } => {
                let reach = Reach {
                    pattern: PATTERNS[*pattern].to_owned(),
                    probability: f64::from(*percent) / 100.0,
                    delay: Duration::from_millis(*delay),
                    queue_max: usize::from(*percent / 10),
                };
                match on {
                    true => self.memory.switch_on(FaultClass::ALL[*class], &reach).unwrap(),
                    false => self.memory.switch_off(FaultClass::ALL[*class]),
                }
                String::new()
            }
        };
        self.told.push(told);
    }

    async fn pull(&mut self, max: usize, keep: bool, settlement: Settlement) -> String {
        let leases = match self.consumer.pull(max, PATIENCE).await {
            Ok(leases) => leases,
            Err(error) => return error.to_string(),
        };
        let told = format!("{leases:?}");
        for lease in leases {
            if keep {
                self.leases.push(lease);
            } else {
                // What becomes of it is in the log.
                let _ = lease.settler().settle(settlement).await;
            }
        }
        told
    }
}

/// Takes every message of the other stream, and answers on the queue.
async fn colleague(memory: Memory) {
    let spec = broker::ConsumerSpec {
        stream: "M".to_owned(),
        filter: "mem.>".to_owned(),
        ack_wait: Duration::from_secs(3),
        ..worker_spec()
    };
    let mut consumer = loop {
        match memory.consume(&spec).await {
            Ok(consumer) => break consumer,
            Err(_) => sleep(Duration::from_millis(700)).await,
        }
    };
    loop {
        let Ok(leases) = consumer.pull(2, PATIENCE).await else {
            sleep(Duration::from_millis(700)).await;
            continue;
        };
        for lease in leases {
            let id = format!("answer {}", lease.sequence);
            if publish_as(&memory, &id, "q.answer").await.is_ok() {
                let _ = lease.ack().await;
            }
        }
    }
}

/// The log, what the users were told, and how often each class fired.
fn run(seed: u64, steps: &[Step]) -> (Vec<String>, [u64; FaultClass::ALL.len()]) {
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut rig = Rig::new(seed).await;
        for step in steps {
            rig.take(step).await;
        }
        rig.memory.heal_all();
        sleep(PATIENCE).await;
        let mut lines = rig.told;
        lines.extend(rig.memory.log().lines());
        (lines, FaultClass::ALL.map(|class| rig.memory.fired_of(class)))
    })
}

#[test]
fn scripts_as_they_are_drawn_make_every_class_fire() {
    let mut runner = TestRunner::deterministic();
    let mut fired = [0; FaultClass::ALL.len()];
    for seed in 0..100 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        for (sum, times) in fired.iter_mut().zip(run(seed, &steps).1) {
            *sum += times;
        }
    }
    for (class, times) in FaultClass::ALL.into_iter().zip(fired) {
        println!("{class}: {times}");
        assert!(times > 0, "{class} never fired");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_seed_and_the_same_calls_give_the_same_log(seed: u64, steps in steps()) {
        prop_assert_eq!(run(seed, &steps), run(seed, &steps));
    }
}
