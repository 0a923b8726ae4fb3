//! I1, I2, I3, I8: what is accepted ends once, what is refused does not run.

use schemas::{ErrorCode, Status};

use super::{story::key, *};
use crate::history::{Door, Fact};

fn four_accepted() -> Story {
    (1..=4).fold(Story::default(), |story, number| story.asked(&format!("r{number}"))).over(1_000)
}

fn recorded(story: Story, names: &[&str]) -> Story {
    names.iter().fold(story, |story, name| story.recorded(name, "hi"))
}

#[test]
fn i1_everything_accepted_is_recorded() {
    holds(&recorded(four_accepted(), &["r1", "r2", "r3", "r4"]), Guarantee::I1);
    not_exercised(&Story::default().sent("r1").unclear("r1").over(9), Guarantee::I1);
}

#[test]
fn i1_tells_where_the_loss_lies() {
    let lost = |kept: &[&str]| verdict(&recorded(four_accepted(), kept), Guarantee::I1);
    let kinds = |verdict| match verdict {
        Verdict::Broken { findings } => findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(),
        _ => vec![],
    };
    assert_eq!(kinds(lost(&["r2", "r3", "r4"])), ["lost_prefix"]);
    assert_eq!(kinds(lost(&["r1", "r2", "r4"])), ["lost_middle"]);
    assert_eq!(kinds(lost(&["r1", "r2"])), ["lost_tail", "lost_tail"]);
    assert_eq!(kinds(lost(&[])), ["lost_prefix"; 4]);
    let finding = breaks(&recorded(four_accepted(), &["r1", "r2", "r4"]), Guarantee::I1, "lost_middle");
    assert_eq!((finding.request, finding.lines), (Some(key("r3")), vec![4, 5]), "sent and accepted");
}

#[test]
fn i1_what_still_waits_is_not_lost_and_what_is_unclear_may_be() {
    let story = recorded(four_accepted(), &["r1", "r2", "r3"]);
    holds(&story.clone().waiting("DYNODE_WORK", 1), Guarantee::I1);
    breaks(&story.waiting("DYNODE_CB", 1), Guarantee::I1, "lost_tail");
    let unclear = recorded(four_accepted().sent("r5").unclear("r5"), &["r1", "r2", "r3", "r4"]);
    holds(&unclear, Guarantee::I1);
    holds(&recorded(unclear, &["r5"]), Guarantee::I1);
}

#[test]
fn i1_sees_a_second_record_and_a_late_end() {
    let good = Story::default().asked("r1");
    breaks(&good.clone().recorded("r1", "hi").recorded("r1", "hi"), Guarantee::I1, "recorded_twice");
    let end = |story: Story, ms| story.at(ms).end("r1", (1, 1), Status::Succeeded, "hi").recorded("r1", "hi");
    holds(&end(good.clone().reads("r1", None), 70_500), Guarantee::I1);
    breaks(&end(good.reads("r1", None), 70_501), Guarantee::I1, "late");
}

#[test]
fn i1_a_slow_reader_or_one_that_was_away_does_not_make_an_end_late() {
    let good = Story::default().asked("r1").called(1, "r1").reads("r1", None).at(100).answered(1, 10);
    let end = |story: Story| story.at(80_000).end("r1", (1, 1), Status::Succeeded, "hi").recorded("r1", "hi");
    breaks(&end(good.clone()), Guarantee::I1, "late");
    holds(&end(good.clone().at(70_000).frame("r1", (1, 0), "chat.delta", Some("hi"))), Guarantee::I1);
    holds(&end(good.clone().left("r1").at(75_000).reads("r1", Some((1, 0)))), Guarantee::I1);
    holds(&end(good.at(200).called_back("r1", 200)), Guarantee::I1);
}

#[test]
fn i1_a_cancel_ends_the_call_that_is_under_way() {
    let asked = Story::default().asked("r1").reads("r1", None).called(1, "r1").at(2_000).cancelled("r1");
    let end = |story: Story| story.end("r1", (1, 1), Status::Succeeded, "hi").recorded("r1", "hi");
    let judged = |story: &Story| {
        let bounds = Bounds { cancel_heard_ms: Some(1_000), ..bounds() };
        check(&story.entries, &bounds).of(Guarantee::I1).clone()
    };
    let is_unheard = |verdict| matches!(verdict, Verdict::Broken { findings } if findings.iter().any(|found| found.kind == "cancel_unheard"));
    assert!(!is_unheard(judged(&end(asked.clone().at(3_000).abandoned(1)))));
    assert!(is_unheard(judged(&end(asked.clone().at(9_000).answered(1, 10)))));
    let over = Story::default().asked("r1").reads("r1", None).called(1, "r1").at(1_000).answered(1, 10);
    assert!(!is_unheard(judged(&end(over.at(2_000).cancelled("r1").at(9_000)))), "it came too late");
    let struck = Fact::Injected { fault: "engine cut off".into(), target: "e1".into() };
    assert!(!is_unheard(judged(&end(asked.fact("nemesis", struck).at(9_000).answered(1, 10)))));
}

#[test]
fn i1_what_waits_while_an_engine_has_its_hands_full_is_not_late() {
    let waits = Story::default().asked("r1").reads("r1", None).called(1, "r2").at(20_000).answered(1, 10);
    let late = |ms| waits.clone().at(ms).end("r1", (1, 1), Status::Succeeded, "hi").recorded("r1", "hi");
    let judged =
        |story: &Story, slots| check(&story.entries, &Bounds { slots, ..bounds() }).of(Guarantee::I1).clone();
    let is_late = |verdict| matches!(verdict, Verdict::Broken { .. });
    assert!(is_late(judged(&late(90_500), None)), "nothing is known of slots");
    assert!(!is_late(judged(&late(90_500), Some(1))), "20 s it waited behind another");
    assert!(is_late(judged(&late(90_501), Some(1))));
    assert!(is_late(judged(&late(90_500), Some(2))), "one of two slots was free");
    let two =
        Story::default().asked("r1").reads("r1", None).called(1, "r2").called_as(2, "r3", "other/m", None);
    let late = two
        .at(20_000)
        .answered(1, 10)
        .answered(2, 10)
        .at(90_500)
        .end("r1", (1, 1), Status::Succeeded, "hi")
        .recorded("r1", "hi");
    assert!(is_late(judged(&late, Some(2))), "each provider had a free slot");
}

#[test]
fn i2_everything_told_was_asked() {
    let good = Story::default().asked("r1").called(1, "r1").streamed("r1", "hi").called_back("r1", 200);
    holds(&good.recorded("r1", "hi").parked("r1"), Guarantee::I2);
    not_exercised(&Story::default().sent("r1"), Guarantee::I2);
}

#[test]
fn i2_sees_each_invention() {
    let none = Story::default;
    breaks(&none().accepted("r1"), Guarantee::I2, "invented_acceptance");
    breaks(&none().frame("r1", (0, 0), "queued", None), Guarantee::I2, "invented_frame");
    breaks(&none().called(1, "r1"), Guarantee::I2, "invented_call");
    breaks(&none().called_back("r1", 200), Guarantee::I2, "invented_callback");
    breaks(&none().recorded("r1", "hi"), Guarantee::I2, "invented_outcome");
    breaks(&none().parked("r1"), Guarantee::I2, "invented_letter");
    breaks(&none().recorded("r1", "hi").sent("r1"), Guarantee::I2, "invented_outcome");
}

#[test]
fn i3_all_are_told_one_end() {
    let good = Story::default().asked("r1").streamed("r1", "hi").called_back("r1", 200).recorded("r1", "hi");
    holds(&good, Guarantee::I3);
    not_exercised(&Story::default().asked("r1"), Guarantee::I3);
}

#[test]
fn i3_sees_two_ends_answers_and_records() {
    let asked = || Story::default().asked("r1");
    let failed = |story: Story| story.recorded_as("r1", Status::Failed, None, Some(ErrorCode::Internal), 1);
    breaks(&failed(asked().streamed("r1", "hi")), Guarantee::I3, "two_ends");
    breaks(&failed(asked().called_back("r1", 200)), Guarantee::I3, "two_ends");
    breaks(&asked().streamed("r1", "hi").recorded("r1", "ho"), Guarantee::I3, "two_answers");
    let mut twice = asked().recorded("r1", "hi").recorded("r1", "hi");
    if let Some(Fact::Recorded { digest, .. }) = twice.entries.last_mut().map(|entry| &mut entry.fact) {
        "d2".clone_into(digest);
    }
    breaks(&twice, Guarantee::I3, "two_records");
}

#[test]
fn i3_an_id_in_use_is_not_given_to_another_request() {
    let first = Story::default().asked("r1");
    let second = |door, fingerprint| first.clone().sent_as("client 2", "r1", door, fingerprint, false);
    breaks(&second(Door::Socket, "f2").accepted_by("client 2", "r1"), Guarantee::I3, "conflict_accepted");
    let refused = Fact::Refused { request: key("r1"), code: ErrorCode::Conflict, retry_after_ms: None };
    holds(&second(Door::Http, "f2").fact("client 2", refused), Guarantee::I3);
    let late = Fact::Refused { request: key("r1"), code: ErrorCode::Conflict, retry_after_ms: None };
    holds(&second(Door::Socket, "f2").accepted_by("client 2", "r1").fact("client 2", late), Guarantee::I3);
    holds(&second(Door::Bus, "f2").accepted_by("client 2", "r1"), Guarantee::I3);
    not_exercised(&second(Door::Http, "f1").accepted_by("client 2", "r1"), Guarantee::I3);
}

#[test]
fn i3_who_left_before_a_door_could_tell_of_the_conflict_was_not_told() {
    let by_bus = Story::default().sent_as("client 1", "r1", Door::Bus, "f1", false).accepted("r1");
    let asks = |story: Story, by, fingerprint| {
        story.sent_as(by, "r1", Door::Socket, fingerprint, false).accepted_by(by, "r1")
    };
    // The reader of this client is `a`.
    let queued = asks(by_bus, "client a", "f2").reads("r1", None).frame("r1", (0, 0), "queued", None);
    let other = |story: Story| asks(story.left("r1"), "client 2", "f1");
    holds(&other(queued.clone()), Guarantee::I3);
    let stayed = queued.frame("r1", (1, 0), "running", None);
    breaks(&other(stayed), Guarantee::I3, "conflict_accepted");
    let by_door =
        asks(Story::default(), "client a", "f2").reads("r1", None).frame("r1", (0, 0), "queued", None);
    breaks(&other(by_door), Guarantee::I3, "conflict_accepted");
}

fn refused(code: ErrorCode, retry_after_ms: Option<u64>) -> Story {
    Story::default().sent("r1").refused("r1", code, retry_after_ms)
}

#[test]
fn i8_a_refusal_is_quick_says_when_and_nothing_runs() {
    holds(&refused(ErrorCode::Overloaded, Some(500)), Guarantee::I8);
    holds(&refused(ErrorCode::InvalidRequest, None), Guarantee::I8);
    not_exercised(&Story::default().asked("r1"), Guarantee::I8);
    let again = refused(ErrorCode::Overloaded, Some(500)).asked("r1").called(1, "r1").recorded("r1", "hi");
    holds(&again, Guarantee::I8);
    let recorded = refused(ErrorCode::InvalidRequest, None);
    holds(
        &recorded.recorded_as("r1", Status::Failed, None, Some(ErrorCode::InvalidRequest), 0),
        Guarantee::I8,
    );
    let conflict = Story::default().asked("r1").sent_as("client 1", "r1", Door::Http, "f2", false);
    holds(
        &conflict.refused("r1", ErrorCode::Conflict, None).called(1, "r1").recorded("r1", "hi"),
        Guarantee::I8,
    );
}

#[test]
fn i8_sees_each_dishonest_refusal() {
    breaks(&refused(ErrorCode::Overloaded, None), Guarantee::I8, "no_retry_after");
    breaks(&refused(ErrorCode::RateLimited, None), Guarantee::I8, "no_retry_after");
    let slow = Story::default().sent("r1").at(2_600).refused("r1", ErrorCode::Internal, None);
    breaks(&slow, Guarantee::I8, "slow_refusal");
    breaks(&refused(ErrorCode::Internal, None).called(1, "r1"), Guarantee::I8, "ran");
    breaks(&refused(ErrorCode::Internal, None).called(1, "r1").asked("r1"), Guarantee::I8, "ran");
    breaks(&refused(ErrorCode::Internal, None).recorded("r1", "hi"), Guarantee::I8, "outcome_of_refused");
}
