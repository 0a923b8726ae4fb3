//! Any sequence of operations, against what a stream promises.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Headers, Seams, Storage};

const ACK_WAIT: Duration = Duration::from_millis(100);
const ACK_PENDING_MAX: u32 = 3;

#[derive(Debug, Clone)]
enum Operation {
    Publish { subject: usize, id: Option<u8> },
    Lease { consumer: usize, credit: usize },
    Settle { lease: prop::sample::Index, settlement: Settlement },
    Advance(u64),
    Remove(prop::sample::Index),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let settlement = prop_oneof![
        4 => Just(Settlement::Ack),
        1 => Just(Settlement::Reject),
        1 => Just(Settlement::Renew),
        2 => (0..200_u64).prop_map(|delay| Settlement::RetryAfter(Duration::from_millis(delay))),
    ];
    let operation = prop_oneof![
        6 => (0..4_usize, prop::option::of(0..20_u8)).prop_map(|(subject, id)| Operation::Publish { subject, id }),
        4 => (0..2_usize, 1..5_usize).prop_map(|(consumer, credit)| Operation::Lease { consumer, credit }),
        4 => (any::<prop::sample::Index>(), settlement)
            .prop_map(|(lease, settlement)| Operation::Settle { lease, settlement }),
        2 => (0..150_u64).prop_map(Operation::Advance),
        1 => any::<prop::sample::Index>().prop_map(Operation::Remove),
    ];
    prop::collection::vec(operation, 0..120)
}

/// A work queue with two consumers, and what has been seen of it.
struct Rig {
    stream: Stream,
    effects: Effects,
    now: Instant,
    /// Every lease ever taken: its consumer and its sequence.
    leases: Vec<(usize, u64)>,
    /// How often each message that is still due has been delivered.
    due: BTreeMap<u64, u32>,
    first_deliveries: [Vec<u64>; 2],
}

impl Rig {
    fn new() -> Self {
        let mut stream = Stream::new(spec(Retention::WorkQueue), Sync::new(Instant::now(), None));
        let mut effects = Effects::new(Seams::simulated(0, Timestamp::UNIX_EPOCH), Instant::now(), 0);
        let now = Instant::now();
        for name in ["a", "b"] {
            let consumer = ConsumerSpec {
                stream: "Q".to_owned(),
                name: name.to_owned(),
                filter: format!("q.{name}.*"),
                ack_wait: ACK_WAIT,
                ack_pending_max: ACK_PENDING_MAX,
                idle_max: None,
            };
            stream.open(&consumer, now, &mut effects).unwrap();
        }
        Self {
            stream,
            effects,
            now,
            leases: Vec::new(),
            due: BTreeMap::new(),
            first_deliveries: Default::default(),
        }
    }

    fn run(&mut self, operation: Operation) {
        match operation {
            Operation::Publish { subject, id } => {
                let at = Moment { now: self.now, wall: Timestamp::UNIX_EPOCH };
                let message = message(["q.a.x", "q.a.y", "q.b.x", "q.b.y"][subject], id);
                let receipt = self.stream.store(message, at, &mut self.effects).unwrap();
                if !receipt.duplicate {
                    assert!(
                        self.due.insert(receipt.sequence, 0).is_none(),
                        "every message has its own sequence"
                    );
                }
            }
            Operation::Lease { consumer, credit } => self.lease(consumer, credit),
            Operation::Settle { lease, settlement } if !self.leases.is_empty() => {
                let (consumer, sequence) = *lease.get(&self.leases);
                if self.stream.settle(consumer, sequence, settlement, self.now, &mut self.effects)
                    == Settled::Done
                {
                    assert!(self.due.remove(&sequence).is_some(), "a message is done once");
                }
            }
            Operation::Remove(index) if !self.due.is_empty() => {
                let sequence = *index.get(&self.due.keys().copied().collect::<Vec<_>>());
                assert!(self.stream.discard(sequence));
                self.due.remove(&sequence);
            }
            Operation::Advance(milliseconds) => self.now += Duration::from_millis(milliseconds),
            Operation::Settle { .. } | Operation::Remove(_) => {}
        }
        assert!(self.stream.consumers.iter().all(|consumer| consumer.leased() <= ACK_PENDING_MAX as usize));
        assert_consistent(&self.stream);
        assert!(self.stream.entries.keys().eq(self.due.keys()), "the stream holds exactly what is still due");
    }

    fn lease(&mut self, consumer: usize, credit: usize) {
        let leased = self.stream.lease(consumer, credit, self.now, &mut self.effects);
        assert!(leased.len() <= credit);
        for delivery in leased {
            let sequence = delivery.stored.sequence;
            let count = self.due.get_mut(&sequence).expect("nothing that is done comes again");
            *count += 1;
            assert_eq!(delivery.deliveries, *count);
            if delivery.deliveries == 1 {
                self.first_deliveries[consumer].push(sequence);
            }
            self.leases.push((consumer, sequence));
        }
    }
}

fn spec(retention: Retention) -> StreamSpec {
    StreamSpec {
        name: "Q".to_owned(),
        subjects: vec!["q.>".to_owned()],
        retention,
        storage: Storage::Memory,
        age_max: None,
        messages_max: None,
        bytes_max: None,
        first_wins: false,
        discard_old: false,
        duplicate_window: Duration::from_millis(300),
        bells: None,
    }
}

fn message(subject: &str, id: Option<u8>) -> Message {
    let mut headers = Headers::new();
    if let Some(id) = id {
        headers.set(MESSAGE_ID, id.to_string());
    }
    Message { subject: subject.to_owned(), headers, payload: Bytes::from_static(b"body") }
}

fn assert_consistent(stream: &Stream) {
    let bytes: u64 = stream.entries.values().map(|entry| bytes_of(&entry.message)).sum();
    assert_eq!(stream.bytes, bytes);
    let mut subjects: HashMap<String, VecDeque<u64>> = HashMap::new();
    for (sequence, entry) in &stream.entries {
        subjects.entry(entry.message.subject.clone()).or_default().push_back(*sequence);
    }
    assert_eq!(stream.subjects, subjects);
}

proptest! {
    #[test]
    fn a_work_queue_loses_nothing_and_repeats_nothing_that_is_done(operations in operations()) {
        let mut rig = Rig::new();
        for operation in operations {
            rig.run(operation);
        }
        // All that is left comes, in the end.
        while !rig.due.is_empty() {
            rig.now += ACK_WAIT * 3;
            let before = rig.leases.len();
            for consumer in [0, 1] {
                rig.lease(consumer, 100);
            }
            prop_assert!(rig.leases.len() > before, "{:?} never come", rig.due);
            for (consumer, sequence) in rig.leases.split_off(before) {
                rig.stream.settle(consumer, sequence, Settlement::Ack, rig.now, &mut rig.effects);
                rig.due.remove(&sequence);
            }
        }
        prop_assert!(rig.stream.entries.is_empty() && rig.stream.bytes == 0 && rig.stream.subjects.is_empty());
        prop_assert!(rig.first_deliveries.iter().all(|sequences| sequences.is_sorted()), "first deliveries in order");
    }

    #[test]
    fn a_stream_of_limits_stays_within_them_and_keeps_the_latest(
        subjects in prop::collection::vec(0..3_usize, 0..60),
        messages_max in 1..10_u64,
        bytes_max in 20..200_u64,
        steps in prop::collection::vec(0..30_u64, 60),
    ) {
        let limits = StreamSpec { messages_max: Some(messages_max), bytes_max: Some(bytes_max), ..spec(Retention::Limits) };
        let age_max = Duration::from_millis(100);
        let mut stream = Stream::new(StreamSpec { discard_old: true, age_max: Some(age_max), ..limits }, Sync::new(Instant::now(), None));
        let mut effects = Effects::new(Seams::simulated(0, Timestamp::UNIX_EPOCH), Instant::now(), 0);
        let mut now = Instant::now();
        for (subject, step) in subjects.iter().zip(steps) {
            now += Duration::from_millis(step);
            let at = Moment { now, wall: Timestamp::UNIX_EPOCH };
            let receipt = stream.store(message(["q.a", "q.b", "q.c"][*subject], None), at, &mut effects).unwrap();
            prop_assert!(stream.entries.len() as u64 <= messages_max && stream.bytes <= bytes_max);
            prop_assert!(stream.entries.values().all(|entry| now.duration_since(entry.since) < age_max));
            prop_assert_eq!(stream.entries.last_key_value().map(|(sequence, _)| *sequence), Some(receipt.sequence));
            assert_consistent(&stream);
        }
    }
}
