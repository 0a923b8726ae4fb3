//! I3: everyone who was told the end of a request was told the same one, and no other request is given an id in use.

use schemas::Status;

use super::{
    Bounds, Inquiry,
    index::{Answer, At, Index, Request, Sending, Step},
};
use crate::history::{Door, Key};

pub(super) fn check(index: &Index<'_>, _: &Bounds, inquiry: &mut Inquiry) {
    for (key, request) in &index.requests {
        let statuses = statuses(request);
        if !statuses.is_empty() {
            inquiry.checked();
        }
        if let Some((first, other)) = differing(&statuses) {
            let sentence =
                format!("one was told that it {}, another that it {}", first.as_str(), other.as_str());
            inquiry.broken(*key, "two_ends", sentence, lines_of(&statuses, first, other));
        }
        let texts = texts(request);
        if let Some((first, other)) = differing(&texts) {
            let sentence = "two different answers were told as its end".to_owned();
            inquiry.broken(*key, "two_answers", sentence, lines_of(&texts, first, other));
        }
        let digests: Vec<_> = request.recorded.iter().map(|record| (record.digest, record.at.line)).collect();
        if let Some((first, other)) = differing(&digests) {
            let sentence = "two different outcomes are recorded".to_owned();
            inquiry.broken(*key, "two_records", sentence, lines_of(&digests, first, other));
        }
        conflict(key, request, inquiry);
    }
}

/// Every end that somebody was told, with its line.
fn statuses(request: &Request<'_>) -> Vec<(Status, usize)> {
    let frames = request.ends().into_iter().map(|(at, status, _)| (status, at.line));
    let callbacks =
        request.callbacks.iter().filter_map(|callback| Some((callback.status?, callback.at.line)));
    let recorded = request.recorded.iter().map(|record| (record.status, record.at.line));
    frames.chain(callbacks).chain(recorded).collect()
}

/// Every whole answer that somebody was told, with its line.
fn texts<'a>(request: &Request<'a>) -> Vec<(&'a str, usize)> {
    let good = |status: Status| status == Status::Succeeded;
    let frames = request.ends().into_iter().filter(|(_, status, _)| good(*status));
    let frames = frames.filter_map(|(at, _, frame)| Some((frame.text?, at.line)));
    let recorded = request.recorded.iter().filter(|record| good(record.status));
    frames.chain(recorded.filter_map(|record| Some((record.text?, record.at.line)))).collect()
}

fn differing<T: PartialEq + Copy>(told: &[(T, usize)]) -> Option<(T, T)> {
    let first = told.first()?.0;
    told.iter().find(|(other, _)| *other != first).map(|(other, _)| (first, *other))
}

/// The first line that tells `one`, and the first that tells `other`.
fn lines_of<T: PartialEq>(told: &[(T, usize)], one: T, other: T) -> Vec<usize> {
    let line = |wanted: &T| told.iter().find(|(what, _)| what == wanted).map(|(_, line)| *line);
    line(&one).into_iter().chain(line(&other)).collect()
}

/// Whether another request came over the bus, so that a door learns which of the two runs only when one begins, and
/// this client had left by then.
fn left_before_it_was_told(request: &Request<'_>, send: &Sending<'_>) -> bool {
    let by_bus = |other: &Sending<'_>| other.door == Door::Bus && other.fingerprint != send.fingerprint;
    let steps = send.by.strip_prefix("client ").and_then(|reader| request.readers.get(reader));
    let has_begun =
        |step: &Step<'_>| matches!(step, Step::Frame(frame) if frame.attempt > 0 || frame.status.is_some());
    let saw_it_begin =
        |steps: &Vec<(At, Step<'_>)>| steps.iter().any(|(at, step)| *at > send.at && has_begun(step));
    request.sends.iter().any(by_bus) && steps.is_some_and(|steps| !saw_it_begin(steps))
}

/// Two requests under one id: a door may accept only one, or must take back its word. (On the bus the ack says nothing
/// about the id.)
fn conflict(key: &Key, request: &Request<'_>, inquiry: &mut Inquiry) {
    if request.fingerprints().len() < 2 {
        return;
    }
    inquiry.checked();
    let accepted = |door: Door, answer| door != Door::Bus && matches!(answer, Some((_, Answer::Accepted)));
    let accepted: Vec<_> = request
        .sends
        .iter()
        .filter(|send| accepted(send.door, send.answer) && send.withdrawn.is_none())
        .filter(|send| !left_before_it_was_told(request, send))
        .map(|send| (send.fingerprint, send.at.line))
        .collect();
    if let Some((first, other)) = differing(&accepted) {
        let sentence =
            "two different requests were accepted under one id; the second is a `conflict`".to_owned();
        inquiry.broken(key, "conflict_accepted", sentence, lines_of(&accepted, first, other));
    }
}
