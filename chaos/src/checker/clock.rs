//! I16: a jump of the wall clock moves no time-out: what expires does so at its deadline, and a silence is given its time.

use schemas::Status;

use super::{
    Bounds, Inquiry,
    index::{At, Index, Request},
};
use crate::history::{Fact, Key};

pub(super) fn check(index: &Index<'_>, bounds: &Bounds, inquiry: &mut Inquiry) {
    let jumps: Vec<_> =
        index.facts().filter(|(_, fact)| matches!(fact, Fact::Jumped { .. })).map(|(at, _)| at).collect();
    for (key, request) in &index.requests {
        let Some((send, told)) = request.accepted_send() else { continue };
        let end = request.ended();
        let across =
            jumps.iter().find(|jump| **jump > send.at && end.is_none_or(|end| **jump < end)).copied();
        if across.is_some() {
            inquiry.checked();
        }
        deadline(key, request, bounds, (send.at, told, send.deadline_ms), across, inquiry);
    }
    for jump in &jumps {
        silences(index, bounds, *jump, inquiry);
    }
}

/// Expiring early is wrong whatever the clock did; ending late is this guarantee's only where the clock jumped.
fn deadline(
    key: &Key,
    request: &Request<'_>,
    bounds: &Bounds,
    (sent, told, deadline_ms): (At, At, u64),
    jump: Option<At>,
    inquiry: &mut Inquiry,
) {
    let expired =
        request.ends().into_iter().find(|(_, status, _)| *status == Status::Expired).map(|(at, ..)| at);
    let jumped = jump.map(|jump| jump.line);
    if let Some(at) = expired.filter(|at| at.ms + bounds.skew_ms < sent.ms + deadline_ms) {
        let took = at.ms - sent.ms;
        let sentence = format!("it expired after {took} ms; its deadline was {deadline_ms} ms");
        inquiry.broken(
            key,
            "expired_early",
            sentence,
            [sent.line].into_iter().chain(jumped).chain([at.line]),
        );
    }
    let due = told.ms + deadline_ms + bounds.recovery_ms + bounds.skew_ms;
    if let (Some(jumped), Some(end)) = (jumped, request.ended().filter(|end| end.ms > due)) {
        let late = end.ms - told.ms;
        let sentence =
            format!("the clock jumped, and it ended only after {late} ms; its deadline was {deadline_ms} ms");
        inquiry.broken(key, "expired_late", sentence, [sent.line, jumped, end.line]);
    }
}

/// A silence that lasted across the jump was not cut short by it.
fn silences(index: &Index<'_>, bounds: &Bounds, jump: At, inquiry: &mut Inquiry) {
    for call in &index.calls {
        let (Some(silent), Some(answer)) = (call.silent, call.answer) else { continue };
        if silent > jump || answer.at < jump || !answer.caller_gone {
            continue;
        }
        inquiry.checked();
        let lasted = answer.at.ms - silent.ms;
        // The end of the request, by a cancel or its deadline, ends the call too; so does the end of a process.
        let excused = call.request.and_then(|key| index.requests.get(key)).is_some_and(|request| {
            !request.cancelled.is_empty()
                || request
                    .accepted_send()
                    .is_some_and(|(send, _)| answer.at.ms + bounds.skew_ms >= send.at.ms + send.deadline_ms)
        });
        let died = index
            .processes
            .iter()
            .filter_map(|process| process.ended)
            .any(|(at, _)| at.ms >= silent.ms && at.ms <= answer.at.ms);
        if !excused && !died && lasted + bounds.skew_ms < bounds.silence_ms {
            let allowed = bounds.silence_ms;
            let sentence = format!("the clock jumped, and a silence of {lasted} ms counted as {allowed} ms");
            inquiry.broken(
                call.request,
                "silence_cut_short",
                sentence,
                [silent.line, jump.line, answer.at.line],
            );
        }
    }
}
