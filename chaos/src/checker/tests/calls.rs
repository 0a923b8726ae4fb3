//! I4, I9, I10, I11: how often, how fast, at what price, and to whom the engine calls.

use schemas::{ErrorCode, Status};

use super::*;
use crate::history::{Door, Fact, Signal};

fn calls(number: u64) -> Story {
    (1..=number).fold(Story::default().asked("r1"), |story, call| story.called(call, "r1").abandoned(call))
}

#[test]
fn i4_tries_are_bounded() {
    holds(&calls(9), Guarantee::I4);
    breaks(&calls(10), Guarantee::I4, "too_many_calls");
    not_exercised(&Story::default().asked("r1"), Guarantee::I4);
    holds(&calls(9).called(10, "r1").throttled(10, 5), Guarantee::I4);
}

#[test]
fn i4_while_nothing_is_wrong_one_attempt_is_all_and_each_model_counts_for_itself() {
    let judged = |story: &Story| {
        check(&story.entries, &Bounds { attempts_calm: Some(1), ..bounds() }).of(Guarantee::I4).clone()
    };
    let other = calls(3).called_as(9, "r1", "other", Some("r1"));
    assert!(matches!(judged(&other), Verdict::Held { .. }));
    assert!(matches!(judged(&calls(4)), Verdict::Broken { .. }));
    let wrong = |fault: &str| Fact::Injected { fault: fault.into(), target: "x".into() };
    let during = |fault| {
        let mut story = calls(4);
        story.entries.insert(0, Entry { at_ms: 0, by: "nemesis".into(), fact: wrong(fault) });
        story
    };
    assert!(matches!(judged(&during("provider fails")), Verdict::Broken { .. }));
    assert!(matches!(judged(&during("provider kills")), Verdict::Held { .. }));
    assert!(matches!(judged(&during("broker lapse")), Verdict::Held { .. }));
}

#[test]
fn i4_a_drain_on_the_way_allows_one_more_attempt() {
    let begun = Story::default().begins("worker-1", 7).asked("r1").called(1, "r1").abandoned(1);
    let drained = begun.signal("worker-1", 7, Signal::Drain);
    let story = (2..=12).fold(drained, |story, call| story.called(call, "r1").abandoned(call));
    holds(&story, Guarantee::I4);
    breaks(&story.called(13, "r1"), Guarantee::I4, "too_many_calls");
}

#[test]
fn i4_one_request_has_one_idempotency_key_of_its_own() {
    let story = calls(1);
    breaks(&story.clone().called_as(2, "r1", "sim", Some("k2")), Guarantee::I4, "key_moved");
    breaks(&story.clone().called_as(2, "r1", "sim", None), Guarantee::I4, "key_moved");
    breaks(&story.asked("r2").called_as(2, "r2", "sim", Some("r1")), Guarantee::I4, "key_shared");
}

#[test]
fn i9_the_limit_holds_in_every_window() {
    let call = |story: Story, number| story.called_as(number, "r1", "limited", None);
    let three = (1..=3).fold(Story::default(), call);
    holds(&call(three.clone().at(10_000), 4), Guarantee::I9);
    let finding = breaks(&call(three.clone().at(9_999), 4), Guarantee::I9, "over_the_rate");
    assert_eq!(finding.lines, [0, 1, 2, 3]);
    not_exercised(&Story::default().called(1, "r1"), Guarantee::I9);
    // The window need not begin with the first call.
    let later = (1..=3).fold(three.at(20_000), |story, number| call(story, 3 + number));
    breaks(&call(later.at(21_000), 9), Guarantee::I9, "over_the_rate");
}

#[test]
fn i9_nobody_calls_before_the_time_that_the_provider_named() {
    let told = Story::default().asked("r1").called(1, "r1").at(100).throttled(1, 1_000);
    holds(&told.clone().at(1_100).called(2, "r1"), Guarantee::I9);
    holds(&told.clone().at(200).called_as(2, "r2", "another", None), Guarantee::I9);
    breaks(&told.clone().at(1_000).called(2, "r1"), Guarantee::I9, "before_retry_after");
    let other = told.at(1_000).called(2, "r2");
    breaks(&other, Guarantee::I9, "before_retry_after");
    let alone = Bounds { retry_after_spread_ms: None, ..bounds() };
    assert!(matches!(check(&other.entries, &alone).of(Guarantee::I9), Verdict::Held { .. }));
}

#[test]
fn i10_the_record_covers_the_bill() {
    let answered = Story::default().asked("r1").called(1, "r1").answered(1, 10);
    holds(&answered.clone().recorded("r1", "hi"), Guarantee::I10);
    breaks(
        &answered.clone().at(5).called(2, "r1").answered(2, 1).recorded("r1", "hi"),
        Guarantee::I10,
        "under_the_bill",
    );
    let less = answered.clone().recorded_as("r1", Status::Succeeded, Some("hi"), None, 9);
    breaks(&less, Guarantee::I10, "under_the_bill");
    not_exercised(&answered, Guarantee::I10);
    not_exercised(
        &Story::default().asked("r1").called(1, "r1").abandoned(1).recorded("r1", "hi"),
        Guarantee::I10,
    );
}

#[test]
fn i10_an_answer_that_died_with_its_worker_is_not_held_against_the_record() {
    let died = Story::default().begins("worker-1", 7).asked("r1").called(1, "r1").answered(1, 10);
    let again = died.dies("worker-1", 7, "signal 9").called(2, "r1").answered(2, 10);
    holds(&again.clone().recorded("r1", "hi"), Guarantee::I10);
    let less = again.recorded_as("r1", Status::Succeeded, Some("hi"), None, 9);
    breaks(&less, Guarantee::I10, "under_the_bill");
}

#[test]
fn i10_an_outcome_stands_once_in_the_ledger_and_with_the_same() {
    let recorded = Story::default().asked("r1").called(1, "r1").answered(1, 10).recorded("r1", "hi");
    holds(&recorded.clone().ledgered("r1", 1, 10), Guarantee::I10);
    holds(&recorded, Guarantee::I10);
    let twice = recorded.clone().ledgered("r1", 1, 10).ledgered("r1", 1, 10);
    breaks(&twice, Guarantee::I10, "twice_in_the_ledger");
    breaks(&recorded.clone().ledgered("r1", 1, 9), Guarantee::I10, "other_in_the_ledger");
    breaks(&recorded.clone().ledgered("r1", 2, 10), Guarantee::I10, "other_in_the_ledger");
    let other = recorded.asked("r2").recorded("r2", "hi").ledgered("r2", 1, 10);
    breaks(&other, Guarantee::I10, "not_in_the_ledger");
    let none = Story::default().asked("r1").ledgered("r1", 1, 10);
    not_exercised(&none.recorded_as("r2", Status::Failed, None, None, 0), Guarantee::I10);
}

fn asked_back() -> Story {
    Story::default().sent_as("client 1", "r1", Door::Http, "f1", true).accepted("r1")
}

#[test]
fn i11_a_callback_is_taken_or_parked() {
    holds(&asked_back().called_back("r1", 500).called_back("r1", 204).recorded("r1", "hi"), Guarantee::I11);
    holds(&asked_back().called_back("r1", 500).recorded("r1", "hi").parked("r1"), Guarantee::I11);
    breaks(&asked_back().recorded("r1", "hi"), Guarantee::I11, "missing");
    breaks(&asked_back().called_back("r1", 500).recorded("r1", "hi"), Guarantee::I11, "missing");
    not_exercised(&Story::default().asked("r1").recorded("r1", "hi"), Guarantee::I11);
    let refused = Some(ErrorCode::InvalidRequest);
    holds(&asked_back().recorded_as("r1", Status::Failed, None, refused, 0), Guarantee::I11);
}

#[test]
fn i11_sees_each_bad_callback() {
    let record = |story: Story| story.recorded("r1", "hi");
    let back = |webhook, valid, digest| {
        asked_back().called_back("r1", 200).called_back_as("r1", 200, webhook, valid, digest)
    };
    breaks(&record(back("msg_r1", false, "d1")), Guarantee::I11, "bad_signature");
    breaks(&record(back("msg_other", true, "d1")), Guarantee::I11, "id_moved");
    breaks(&record(back("msg_r1", true, "d2")), Guarantee::I11, "other_outcome");
    breaks(&record(Story::default().asked("r1").called_back("r1", 200)), Guarantee::I11, "unasked");
    let other = asked_back().sent_as("client 1", "r2", Door::Http, "f1", true).accepted("r2");
    let shared = other.called_back("r1", 200).called_back_as("r2", 200, "msg_r1", true, "d1");
    breaks(&record(shared).recorded("r2", "hi"), Guarantee::I11, "id_shared");
}

#[test]
fn a_provider_that_starts_anew_may_count_its_calls_anew() {
    let other = Fact::Called { call: 1, request: None, idempotency_key: None, model: "sim".into() };
    let story = Story::default().asked("r1").called(1, "r1").fact("provider 2", other).answered(1, 11);
    breaks(&story.recorded("r1", "hi"), Guarantee::I10, "under_the_bill");
}
