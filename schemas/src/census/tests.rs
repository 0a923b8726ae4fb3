use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn beat(node: &str, queue: impl Into<Option<u64>>, inflight: u64, average_job_ms: f64) -> Heartbeat {
    Heartbeat {
        v: crate::VERSION,
        node: node.into(),
        worker: "sim".into(),
        pid: 1,
        connected: true,
        every_ms: 2_000,
        slots: 4,
        queue: queue.into(),
        inflight,
        last_progress_ms: 0,
        average_job_ms,
        governing: None,
        at: Timestamp::UNIX_EPOCH,
    }
}

fn census(beats: impl IntoIterator<Item = Heartbeat>) -> Census {
    let mut census = Census::default();
    beats.into_iter().for_each(|beat| census.hear(beat, 0));
    census
}

#[test]
fn the_wait_is_the_work_ahead_over_the_pace() {
    let wait = |queue, inflight| census([beat("a", queue, inflight, 1_000.0)]).estimated_wait_ms("sim", 0);
    assert_eq!(wait(0, 3), Some(0), "a slot is free");
    assert_eq!(wait(0, 4), Some(250), "until the next slot is free");
    assert_eq!(wait(39, 4), Some(10_000));
    assert_eq!(wait(1, 2), Some(0), "the one that waits is being taken up");
}

#[test]
fn nodes_add_their_slots_and_share_one_queue() {
    let census = census([beat("a", 100, 4, 1_000.0), beat("b", 60, 4, 3_000.0)]);
    let load = census.load("sim", 0).unwrap();
    assert_eq!(
        (load.nodes, load.slots, load.inflight, load.queue),
        (2, 8, 8, 56),
        "the freshest word counts, and of its 60 the other node works on 4"
    );
    assert!((load.average_job_ms - 1_500.0).abs() < 1e-6, "{load:?}: 4 + 4/3 jobs a second on 8 slots");
}

#[test]
fn what_other_nodes_work_on_does_not_wait() {
    let census = census([beat("a", 4, 4, 1_000.0), beat("b", 4, 4, 1_000.0)]);
    assert_eq!(census.load("sim", 0).unwrap().queue, 0, "each tells of the other's four");
}

#[test]
fn what_is_sent_between_two_beats_counts_and_what_is_done_meanwhile_does_not() {
    let mut census = census([beat("a", 0, 4, 1_000.0)]);
    (0..40).for_each(|_| census.count_sent("sim"));
    assert_eq!(census.load("sim", 0).unwrap().queue, 40);
    assert_eq!(census.load("sim", 5_000).unwrap().queue, 20, "four are done a second");
    census.hear(beat("a", 7, 4, 1_000.0), 5_000);
    assert_eq!(census.load("sim", 5_000).unwrap().queue, 7, "a beat has counted them");
}

#[test]
fn a_beat_that_does_not_know_the_queue_changes_nothing_of_it() {
    let mut census = census([beat("a", 30, 4, 0.0)]);
    census.count_sent("sim");
    census.hear(beat("b", None, 4, 0.0), 1_000);
    assert_eq!(
        census.load("sim", 1_000).unwrap().queue,
        27,
        "30 and one more, of which the other works on 4"
    );
}

#[test]
fn the_entrance_is_waited_for_as_well() {
    let entrance = Heartbeat { worker: ENTRANCE.into(), ..beat("a", 7, 4, 1_000.0) };
    let mut census = census([entrance, beat("a", 3, 4, 1_000.0)]);
    assert_eq!(census.estimated_wait_ms("sim", 0), Some(3_000));
    assert_eq!(census.estimated_wait_ms(ENTRANCE, 0), Some(2_000));
    census.count_sent("sim");
    assert_eq!(census.estimated_wait_ms("sim", 0), Some(3_500), "a new request waits at both");
}

#[test]
fn before_the_first_job_has_ended_one_is_assumed_to_take_the_longer_of_its_age_and_what_was_said() {
    let mut census = Census::assuming(2_000);
    let mut wait = |queue, inflight, average, now_ms| {
        census.hear(beat("a", queue, inflight, average), now_ms);
        census.estimated_wait_ms("sim", now_ms).unwrap()
    };
    assert_eq!(wait(0, 0, 0.0, 0), 0, "a slot is free");
    assert_eq!(wait(39, 4, 0.0, 2_000), 20_000);
    assert_eq!(wait(39, 4, 500.0, 4_000), 20_000, "half a second is an age: none has ended");
    assert_eq!(wait(39, 4, 2_500.0, 6_000), 25_000, "they have taken longer than was said");
    assert_eq!(wait(39, 4, 100.0, 8_000), 1_000, "an age does not fall: this was measured");
    assert_eq!(wait(39, 4, 300.0, 10_000), 3_000, "and stays so");
}

#[test]
fn what_a_node_has_measured_holds_for_its_pool_and_nothing_is_assumed_of_the_entrance() {
    let mut census = Census::assuming(60_000);
    census.hear(beat("a", 0, 3, 100.0), 0);
    census.hear(beat("b", 79, 4, 0.0), 0);
    assert_eq!(
        census.estimated_wait_ms("sim", 0),
        Some(950),
        "79, of which a works on 3, and a free slot: a's jobs have ended"
    );
    let mut census = Census::assuming(60_000);
    census.hear(Heartbeat { worker: ENTRANCE.into(), ..beat("a", 500, 4, 0.0) }, 0);
    assert_eq!(census.estimated_wait_ms(ENTRANCE, 0), Some(0));
}

#[test]
fn what_is_sent_before_the_first_busy_heartbeat_waits_as_well() {
    let mut census = Census::assuming(1_000);
    census.hear(beat("a", 0, 0, 0.0), 0);
    (0..104).for_each(|_| census.count_sent("sim"));
    assert_eq!(census.estimated_wait_ms("sim", 0), Some(25_250), "a hundred wait behind four");
}

#[test]
fn the_silent_and_the_disconnected_are_forgotten() {
    let mut census = census([beat("a", 9, 4, 1_000.0), beat("b", 9, 4, 1_000.0)]);
    census.hear(beat("b", 9, 4, 1_000.0), 4_000);
    assert_eq!((census.load("sim", 5_999).unwrap().nodes, census.speaker("sim", 5_999)), (2, Some("a")));
    assert_eq!((census.load("sim", 6_000).unwrap().nodes, census.speaker("sim", 6_000)), (1, Some("b")));
    assert_eq!((census.load("sim", 10_000), census.state("sim", 10_000)), (None, PoolState::Down));
    census.hear(Heartbeat { connected: false, ..beat("b", None, 4, 1_000.0) }, 6_000);
    assert_eq!(census.state("sim", 6_000), PoolState::Down);
    census.hear(Heartbeat { worker: "other".into(), ..beat("c", 0, 0, 0.0) }, 6_000);
    assert_eq!(census.pools().collect::<Vec<_>>(), ["other"], "nothing is kept of the dead");
}

#[test]
fn states_tell_whether_work_is_welcome() {
    let state = |queue, inflight| census([beat("a", queue, inflight, 1_000.0)]).state("sim", 0);
    assert_eq!(state(0, 3), PoolState::Available);
    assert_eq!(state(0, 4), PoolState::Busy);
    assert_eq!(state(5, 4), PoolState::Busy);
    let mut census = census([beat("a", 5, 4, 1_000.0)]);
    let signal =
        |state| Backpressure { pool: "sim".into(), state, retry_after_ms: None, estimated_wait_ms: None };
    census.hear_signal(&signal(Flow::Pause));
    assert_eq!(census.state("sim", 0), PoolState::Paused);
    census.hear_signal(&signal(Flow::Resume));
    assert_eq!(census.state("sim", 0), PoolState::Busy);
    assert_eq!(census.state("nobody", 0), PoolState::Down);
}

proptest! {
    #[test]
    fn more_work_never_means_less_waiting(
        queue in 0..1_000_000_u64, inflight in 0..4_u64, average in 0.0..1e7_f64, sent in 0..100_u64, later in 0..6_000_u64,
    ) {
        let mut census = census([beat("a", queue, inflight, average)]);
        let before = census.estimated_wait_ms("sim", later.min(5_999)).unwrap();
        (0..sent).for_each(|_| census.count_sent("sim"));
        let after = census.estimated_wait_ms("sim", later.min(5_999)).unwrap();
        prop_assert!(after >= before);
        prop_assert!(after <= ((queue + sent + inflight + 1) as f64 * average / 4.0).ceil() as u64 + 1);
    }
}
