//! I12 to I16: processes, time, and the way back.

use schemas::{ErrorCode, Status};

use super::*;
use crate::history::{Fact, Phase, Signal};

const WORKER: &str = "worker-1";

fn worker() -> Story {
    Story::default().begins(WORKER, 7)
}

#[test]
fn i12_who_stands_still_is_ended() {
    let stopped = worker().signal(WORKER, 7, Signal::Stop);
    holds(&stopped.clone().at(4_500).dies(WORKER, 7, "signal 9").over(20_000), Guarantee::I12);
    breaks(&stopped.clone().at(4_501).dies(WORKER, 7, "signal 9").over(20_000), Guarantee::I12, "not_killed");
    breaks(&stopped.clone().over(20_000), Guarantee::I12, "not_killed");
    not_exercised(
        &stopped.clone().at(1_000).signal(WORKER, 7, Signal::Continue).over(20_000),
        Guarantee::I12,
    );
    not_exercised(&stopped.over(3_000), Guarantee::I12);
    breaks(&worker().signal(WORKER, 7, Signal::Spin).over(20_000), Guarantee::I12, "not_killed");
}

#[test]
fn i12_who_is_only_slow_is_let_alone() {
    let slow = worker().signal(WORKER, 7, Signal::Slow);
    holds(&slow.clone().over(60_000), Guarantee::I12);
    breaks(&slow.clone().at(9_000).dies(WORKER, 7, "signal 9"), Guarantee::I12, "slow_killed");
    let later = slow.at(5_000).signal(WORKER, 7, Signal::Kill).dies(WORKER, 7, "signal 9");
    holds(&later, Guarantee::I12);
}

#[test]
fn i12_a_silent_call_is_given_up_and_its_request_goes_on() {
    let silent = Story::default().asked("r1").reads("r1", None).called(1, "r1").silent(1);
    let given_up = silent.clone().at(3_500).abandoned(1);
    holds(&given_up.clone().at(29_000).called(2, "r1").over(60_000), Guarantee::I12);
    holds(&given_up.clone().end("r1", (1, 0), Status::Failed, "stalled").over(60_000), Guarantee::I12);
    breaks(&given_up.clone().at(29_001).called(2, "r1").over(60_000), Guarantee::I12, "not_redelivered");
    breaks(&given_up.over(60_000), Guarantee::I12, "not_redelivered");
    breaks(&silent.clone().at(3_501).abandoned(1).over(60_000), Guarantee::I12, "not_given_up");
    breaks(&silent.over(60_000), Guarantee::I12, "not_given_up");
}

#[test]
fn i12_the_work_of_the_dead_goes_on_elsewhere() {
    let open = worker().asked("r1").reads("r1", None).called(1, "r1").signal(WORKER, 7, Signal::Kill);
    let dead = open.at(100).dies(WORKER, 7, "signal 9").abandoned(1);
    holds(&dead.clone().at(20_000).called(2, "r1").over(60_000), Guarantee::I12);
    breaks(&dead.clone().at(30_000).called(2, "r1").over(60_000), Guarantee::I12, "not_redelivered");
    breaks(&dead.over(60_000), Guarantee::I12, "not_redelivered");
}

#[test]
fn i12_a_slow_call_is_not_taken_over() {
    let slow = Story::default().asked("r1").reads("r1", None).called(1, "r1").at(20_000);
    let ends = |story: Story| story.end("r1", (1, 9), Status::Succeeded, "r1").over(90_000);
    holds(&ends(slow.clone().throttled(1, 0).called(2, "r1").at(30_000).answered(2, 9)), Guarantee::I12);
    let taken = |story: Story| ends(story.called(2, "r1").at(21_000).answered(1, 9).answered(2, 9));
    breaks(&taken(slow.clone()), Guarantee::I12, "taken_over");
    let struck = |fault: &str| Fact::Injected { fault: fault.into(), target: "e1".into() };
    not_exercised(&taken(slow.clone().fact("nemesis", struck("broker duplicate"))), Guarantee::I12);
    breaks(&taken(slow.fact("nemesis", struck("provider drips"))), Guarantee::I12, "taken_over");
    let killed = worker().asked("r1").reads("r1", None).called(1, "r1").signal(WORKER, 7, Signal::Continue);
    not_exercised(&taken(killed.at(20_000)), Guarantee::I12);
}

#[test]
fn i13_the_dead_are_replaced() {
    let dead = worker().at(100).dies(WORKER, 7, "signal 9");
    holds(&dead.clone().at(5_600).begins(WORKER, 8).over(60_000), Guarantee::I13);
    breaks(&dead.clone().at(5_601).begins(WORKER, 8).over(60_000), Guarantee::I13, "not_replaced");
    breaks(&dead.clone().begins("worker-2", 8).over(60_000), Guarantee::I13, "not_replaced");
    not_exercised(&dead.over(5_000), Guarantee::I13);
    not_exercised(
        &Story::default().begins("broker", 7).dies("broker", 7, "signal 9").over(60_000),
        Guarantee::I13,
    );
    let asked = worker().signal(WORKER, 7, Signal::Drain).dies(WORKER, 7, "exit 0");
    not_exercised(&asked.over(60_000), Guarantee::I13);
}

#[test]
fn i13_who_dies_over_and_over_comes_to_rest() {
    let storm = |deaths: u32| {
        (0..deaths).fold(Story::default(), |story, pid| {
            story.at(u64::from(pid) * 100).begins(WORKER, pid).dies(WORKER, pid, "exit 71")
        })
    };
    holds(&storm(5).over(60_000), Guarantee::I13);
    breaks(&storm(4).over(60_000), Guarantee::I13, "not_replaced");
    breaks(&storm(7).over(60_000), Guarantee::I13, "restart_storm");
}

#[test]
fn i14_who_is_asked_goes_in_time_and_in_order() {
    let asked = worker().signal(WORKER, 7, Signal::Drain);
    holds(&asked.clone().at(10_500).dies(WORKER, 7, "exit 0").over(60_000), Guarantee::I14);
    holds(&asked.clone().dies(WORKER, 7, "exit status: 0").over(60_000), Guarantee::I14);
    breaks(&asked.clone().at(10_501).dies(WORKER, 7, "exit 0").over(60_000), Guarantee::I14, "slow_exit");
    breaks(&asked.clone().dies(WORKER, 7, "exit 10").over(60_000), Guarantee::I14, "bad_exit");
    breaks(&asked.clone().dies(WORKER, 7, "signal 15").over(60_000), Guarantee::I14, "bad_exit");
    breaks(&asked.clone().over(60_000), Guarantee::I14, "no_exit");
    not_exercised(&asked.at(5).signal(WORKER, 7, Signal::Kill).over(60_000), Guarantee::I14);
    not_exercised(&worker().over(60_000), Guarantee::I14);
}

#[test]
fn i14_nothing_new_is_begun() {
    let asked = worker().asked("r1").called(1, "r1").signal(WORKER, 7, Signal::Drain).at(1_000);
    let gone = |story: Story| story.at(2_000).dies(WORKER, 7, "exit 0").over(60_000);
    holds(&gone(asked.clone().called(2, "r1")), Guarantee::I14);
    breaks(&gone(asked.clone().asked("r2").called(2, "r2")), Guarantee::I14, "new_work");
    let mut others = asked;
    others.entries.splice(..0, Story::default().begins("worker-2", 8).entries);
    holds(&gone(others.at(1_000).asked("r2").called(2, "r2")), Guarantee::I14);
}

#[test]
fn i14_a_drain_costs_no_attempt() {
    let handed_back =
        worker().asked("r1").reads("r1", None).called(1, "r1").at(5).signal(WORKER, 7, Signal::Drain);
    let gone = |story: Story| story.at(9).abandoned(1).dies(WORKER, 7, "exit 0");
    // Tried so often after that, and then given up.
    let given_up = |story: Story, tried: u64| {
        let story = (2..2 + tried).fold(story, |story, call| {
            story.at(call * 1_000).called(call, "r1").at(call * 1_000 + 50).abandoned(call)
        });
        let story = story.at(20_000).end("r1", (5, 1), Status::Failed, "given up").over(60_000);
        story.recorded_as("r1", Status::Failed, None, Some(ErrorCode::Stalled), 1)
    };
    breaks(&given_up(gone(handed_back.clone()), 2), Guarantee::I14, "charged");
    holds(&given_up(gone(handed_back.clone()), 3), Guarantee::I14);
    let cut = |fault: &str| Fact::Injected { fault: fault.into(), target: "engine-broker".into() };
    holds(&given_up(gone(handed_back.clone().fact("nemesis", cut("cut"))), 2), Guarantee::I14);
    breaks(&given_up(gone(handed_back.fact("nemesis", cut("terminate"))), 2), Guarantee::I14, "charged");
}

/// Requests that take `quiet` before the faults, and `healed` after them.
fn phases(quiet: u64, healed: u64) -> Story {
    let load = |story: Story, prefix: &str, from: u64, took: u64| {
        (0..20).fold(story, |story, number| {
            let (name, at) = (format!("{prefix}{number}"), from + number * 10);
            let asked = story.at(at).asked(&name).reads(&name, None);
            asked.at(at + took).end(&name, (1, 0), Status::Succeeded, "hi").recorded(&name, "hi")
        })
    };
    let story = load(Story::default().phase(Phase::Quiet), "q", 10, quiet).at(10_000).phase(Phase::Fault);
    let story = load(story.at(20_000).phase(Phase::Healed), "h", 25_000, healed);
    story.at(30_000).phase(Phase::Settle)
}

#[test]
fn i15_everything_ends_when_the_faults_do() {
    holds(&phases(100, 200).over(40_000), Guarantee::I15);
    holds(&phases(200, 400).waiting("DYNODE_WORK", 0), Guarantee::I15);
    not_exercised(&Story::default().asked("r1").over(9), Guarantee::I15);
    breaks(&phases(200, 401).over(40_000), Guarantee::I15, "still_slow");
    breaks(&phases(100, 100).waiting("DYNODE_WORK", 1), Guarantee::I15, "still_waiting");
    let late =
        phases(100, 100).asked("r1").reads("r1", None).at(90_501).end("r1", (1, 0), Status::Succeeded, "hi");
    breaks(&late.recorded("r1", "hi"), Guarantee::I15, "settled_late");
    let unfinished = check(&phases(100, 100).asked("r1").waiting("DYNODE_WORK", 1).entries, &bounds());
    assert!(unfinished.findings().any(|finding| finding.kind == "unfinished"));
}

fn jump() -> Fact {
    Fact::Jumped { by_ms: 3_600_000 }
}

#[test]
fn i16_a_deadline_does_not_move_with_the_clock() {
    let running = Story::default().asked("r1").reads("r1", None).at(1_000).fact("nemesis", jump());
    let expires = |ms| running.clone().at(ms).end("r1", (1, 0), Status::Expired, "");
    holds(&expires(9_500), Guarantee::I16);
    breaks(&expires(9_499), Guarantee::I16, "expired_early");
    breaks(&expires(70_501), Guarantee::I16, "expired_late");
    let before =
        Story::default().asked("r1").at(5).reads("r1", None).end("r1", (1, 0), Status::Succeeded, "hi");
    not_exercised(&before.at(9).fact("nemesis", jump()), Guarantee::I16);
}

#[test]
fn i16_a_silence_is_given_its_time() {
    let silent = Story::default().asked("r1").called(1, "r1").silent(1).at(1_000).fact("nemesis", jump());
    let cut_short = |story: Story| story.at(1_500).abandoned(1);
    holds(&silent.clone().at(2_500).abandoned(1), Guarantee::I16);
    breaks(&silent.clone().at(2_499).abandoned(1), Guarantee::I16, "silence_cut_short");
    holds(&cut_short(silent.clone().cancelled("r1")), Guarantee::I16);
    let broker = Fact::Injected { fault: "cut".into(), target: "engine-broker".into() };
    holds(&cut_short(silent.clone().fact("nemesis", broker)), Guarantee::I16);
    let provider = Fact::Injected { fault: "provider stalls".into(), target: "alpha".into() };
    breaks(&cut_short(silent.fact("nemesis", provider)), Guarantee::I16, "silence_cut_short");
}
