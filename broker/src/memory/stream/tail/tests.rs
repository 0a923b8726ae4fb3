//! After a power failure a stream is what it was at the last sync, whatever has happened since.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{ConsumerSpec, Headers, Message, Seams, Settlement, StreamSpec, memory::stream::Moment};

const SYNC: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
enum Operation {
    Store { subject: usize, id: u8 },
    Lease { consumer: usize, count: usize },
    Settle { lease: prop::sample::Index, settlement: Settlement },
    Remove(prop::sample::Index),
    Trim(u64),
    EndLeases,
    Wait(u64),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let settlement = prop_oneof![
        4 => Just(Settlement::Ack),
        1 => Just(Settlement::Reject),
        1 => Just(Settlement::Renew),
        2 => (0..2_u64).prop_map(|delay| Settlement::RetryAfter(Duration::from_millis(delay * 40))),
    ];
    let operation = prop_oneof![
        6 => (0..2_usize, 0..30_u8).prop_map(|(subject, id)| Operation::Store { subject, id }),
        4 => (0..2_usize, 1..4_usize).prop_map(|(consumer, count)| Operation::Lease { consumer, count }),
        4 => (any::<prop::sample::Index>(), settlement)
            .prop_map(|(lease, settlement)| Operation::Settle { lease, settlement }),
        1 => any::<prop::sample::Index>().prop_map(Operation::Remove),
        1 => (1..3_u64).prop_map(Operation::Trim),
        1 => Just(Operation::EndLeases),
        4 => (0..60_u64).prop_map(Operation::Wait),
    ];
    prop::collection::vec(operation, 0..100)
}

/// All that a disk would hold of a stream.
#[derive(Debug, Clone, PartialEq)]
struct Disk {
    sequence_last: u64,
    bytes: u64,
    entries: Vec<(u64, Message)>,
    subjects: BTreeMap<String, Vec<u64>>,
    consumers: Vec<Known>,
}

/// What waits for a consumer, and what is leased, with the number of deliveries.
type Known = (Vec<u64>, Vec<(u64, u32)>);

struct Rig {
    stream: Stream,
    effects: Effects,
    now: Instant,
    leases: Vec<(usize, u64)>,
}

impl Rig {
    fn new(retention: Retention) -> Self {
        let now = Instant::now();
        let spec = StreamSpec {
            name: "Q".to_owned(),
            subjects: vec!["q.>".to_owned()],
            retention,
            storage: Storage::File,
            age_max: None,
            messages_max: None,
            bytes_max: None,
            first_wins: false,
            discard_old: false,
            duplicate_window: Duration::from_secs(120),
            bells: None,
        };
        let mut stream = Stream::new(spec, Sync::new(now, Some(SYNC)));
        let mut effects = Effects::new(Seams::simulated(0, Timestamp::UNIX_EPOCH), now, 0);
        for name in ["a", "b"] {
            let consumer = ConsumerSpec {
                stream: "Q".to_owned(),
                name: name.to_owned(),
                filter: format!("q.{name}"),
                ack_wait: Duration::from_millis(150),
                ack_pending_max: 3,
                idle_max: None,
            };
            stream.open(&consumer, now, &mut effects).unwrap();
        }
        Self { stream, effects, now, leases: Vec::new() }
    }

    fn disk(&self) -> Disk {
        let Stream { sequence_last, bytes, entries, subjects, consumers, .. } = &self.stream;
        let listed = |(subject, sequences): (&String, &std::collections::VecDeque<u64>)| {
            (subject.clone(), sequences.iter().copied().collect())
        };
        Disk {
            sequence_last: *sequence_last,
            bytes: *bytes,
            entries: entries.iter().map(|(sequence, entry)| (*sequence, entry.message.clone())).collect(),
            subjects: subjects.iter().map(listed).collect(),
            consumers: consumers.iter().map(crate::memory::consumer::Consumer::known).collect(),
        }
    }

    fn run(&mut self, operation: Operation) {
        let Self { stream, effects, now, leases } = self;
        match operation {
            Operation::Store { subject, id } => {
                let message = Message {
                    subject: ["q.a", "q.b"][subject].to_owned(),
                    headers: Headers::new().with(MESSAGE_ID, id.to_string()),
                    payload: Bytes::from_static(b"body"),
                };
                stream.store(message, Moment { now: *now, wall: Timestamp::UNIX_EPOCH }, effects).unwrap();
            }
            Operation::Lease { consumer, count } => {
                let leased = stream.lease(consumer, count, *now, effects);
                leases.extend(leased.iter().map(|delivery| (consumer, delivery.stored.sequence)));
            }
            Operation::Settle { lease, settlement } if !leases.is_empty() => {
                let (consumer, sequence) = *lease.get(leases);
                stream.settle(consumer, sequence, settlement, *now, effects);
            }
            Operation::Settle { .. } => {}
            Operation::Remove(index) => {
                stream.remove(index.index(stream.sequence_last as usize + 1) as u64, *now, effects);
            }
            Operation::Trim(count) => stream.trim(count, *now, effects),
            Operation::EndLeases => _ = stream.end_leases(&Pattern::parse("q.a").unwrap(), *now, effects),
            Operation::Wait(milliseconds) => *now += Duration::from_millis(milliseconds),
        }
    }
}

proptest! {
    #[test]
    fn a_power_failure_leaves_a_stream_as_it_was_at_the_last_sync(
        rounds in prop::collection::vec(operations(), 1..4),
        limits: bool,
    ) {
        let mut rig = Rig::new(if limits { Retention::Limits } else { Retention::WorkQueue });
        let origin = rig.now;
        let number = |now: Instant| now.duration_since(origin).as_nanos() / SYNC.as_nanos();
        let (mut disk, mut synced) = (rig.disk(), 0);
        for operations in rounds {
            for operation in operations {
                if number(rig.now) != synced {
                    (disk, synced) = (rig.disk(), number(rig.now));
                }
                rig.run(operation);
            }
            if number(rig.now) != synced {
                (disk, synced) = (rig.disk(), number(rig.now));
            }
            let before = rig.disk();
            let changed = rig.stream.lose_tail(rig.now, &mut rig.effects);
            prop_assert_eq!(rig.disk(), disk.clone());
            let unsynced = before.sequence_last - disk.sequence_last;
            prop_assert!(before == disk || changed > 0 || unsynced > 0 || before.consumers != disk.consumers);
        }
    }
}
