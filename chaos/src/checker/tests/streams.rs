//! I5, I6: what readers see.

use schemas::Status;

use super::{story::key, *};
use crate::history::{Fact, marker};

/// The reader of `r1` has `(1, 0)` and two pieces of the answer.
fn reading() -> Story {
    Story::default()
        .asked("r1")
        .reads("r1", None)
        .frame("r1", (0, 0), "queued", None)
        .frame("r1", (1, 0), "running", None)
        .frame("r1", (1, 1), "chat.delta", Some("a"))
        .frame("r1", (1, 2), "chat.delta", Some("b"))
}

fn ended(story: Story, place: (u32, u64), text: &str) -> Story {
    story.end("r1", place, Status::Succeeded, text).recorded("r1", text)
}

#[test]
fn i5_a_stream_is_whole() {
    holds(&ended(reading(), (1, 3), "ab"), Guarantee::I5);
    not_exercised(&Story::default().asked("r1"), Guarantee::I5);
    holds(&reading().left("r1"), Guarantee::I5);
    let refused = Story::default().asked("r1").reads("r1", None).end("r1", (0, 1), Status::Failed, "no");
    holds(&refused, Guarantee::I5);
}

#[test]
fn i5_a_newer_attempt_starts_the_answer_afresh() {
    let restarted =
        reading().frame("r1", (2, 0), "restarted", None).frame("r1", (2, 1), "chat.delta", Some("c"));
    holds(&ended(restarted, (2, 2), "c"), Guarantee::I5);
    let unsaid = reading().frame("r1", (2, 0), "running", None).frame("r1", (2, 1), "chat.delta", Some("c"));
    holds(&ended(unsaid, (2, 2), "c"), Guarantee::I5);
    let within =
        reading().frame("r1", (1, 3), "restarted", None).frame("r1", (1, 4), "chat.delta", Some("c"));
    holds(&ended(within, (1, 5), "c"), Guarantee::I5);
}

#[test]
fn i5_a_reader_comes_back_to_where_it_was() {
    let back = reading().left("r1").reads("r1", Some((1, 1)));
    holds(&ended(back.clone().frame("r1", (1, 2), "chat.delta", Some("b")), (1, 3), "ab"), Guarantee::I5);
    breaks(&back.clone().frame("r1", (1, 1), "chat.delta", Some("a")).left("r1"), Guarantee::I5, "repeat");
    breaks(&back.frame("r1", (1, 3), "chat.delta", Some("c")).left("r1"), Guarantee::I5, "gap");
    let told_again = ended(reading(), (1, 3), "ab").reads("r1", Some((1, 3)));
    holds(&told_again.end("r1", (1, 3), Status::Succeeded, "ab"), Guarantee::I5);
}

#[test]
fn i5_sees_each_broken_stream() {
    let frame = |place| reading().frame("r1", place, "chat.delta", Some("c")).left("r1");
    breaks(&frame((1, 4)), Guarantee::I5, "gap");
    breaks(&frame((2, 1)), Guarantee::I5, "gap");
    breaks(&frame((1, 2)), Guarantee::I5, "repeat");
    breaks(&frame((0, 1)), Guarantee::I5, "older_attempt");
    breaks(&reading(), Guarantee::I5, "no_end");
    let end = ended(reading(), (1, 3), "ab");
    breaks(&end.clone().end("r1", (1, 4), Status::Succeeded, "ab"), Guarantee::I5, "two_ends");
    breaks(&end.frame("r1", (1, 4), "chat.delta", None), Guarantee::I5, "after_the_end");
    breaks(&ended(reading(), (1, 3), "abc"), Guarantee::I5, "other_text");
    let late = Story::default().asked("r1").reads("r1", None).frame("r1", (1, 1), "running", None).left("r1");
    breaks(&late, Guarantee::I5, "gap");
}

#[test]
fn i5_a_gap_that_was_told_is_none() {
    holds(
        &ended(reading().gap("r1").frame("r1", (1, 7), "chat.delta", Some("x")), (1, 8), "abcx"),
        Guarantee::I5,
    );
    let framed = reading().frame("r1", (1, 6), "gap", None).frame("r1", (1, 7), "chat.delta", Some("x"));
    holds(&ended(framed, (1, 8), "abcx"), Guarantee::I5);
}

#[test]
fn i6_own_markers_are_no_breach() {
    let own = marker(&key("r1"));
    holds(&Story::default().asked("r1").streamed("r1", &own).recorded("r1", &own), Guarantee::I6);
    not_exercised(&Story::default().asked("r1").streamed("r1", "hi"), Guarantee::I6);
}

#[test]
fn i6_sees_the_bytes_of_others_wherever_they_turn_up() {
    let stranger = marker(&key("umbrella/r1"));
    let neighbour = marker(&key("r2"));
    let asked = || Story::default().asked("r1");
    breaks(&asked().streamed("r1", &stranger), Guarantee::I6, "other_tenant");
    breaks(&asked().recorded("r1", &neighbour), Guarantee::I6, "other_request");
    let body = Fact::Body { request: key("r1"), place: "callback".into(), text: stranger.clone() };
    breaks(&asked().fact("receiver", body), Guarantee::I6, "other_tenant");
    let (start, rest) = stranger.split_at(stranger.find('/').unwrap());
    let cut =
        asked().frame("r1", (1, 0), "chat.delta", Some(start)).frame("r1", (1, 1), "chat.delta", Some(rest));
    breaks(&cut, Guarantee::I6, "other_tenant");
}
