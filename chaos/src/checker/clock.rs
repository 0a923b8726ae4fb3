//! I16: a jump of the wall clock moves no timeout: a request expires at its deadline, and a silence gets its full time.

use schemas::Status;

use super::{
    Bounds, Inquiry,
    index::{At, Call, Fault, Index, Request},
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
        expired_early(key, request, bounds, across, inquiry);
        let due = told.ms + send.deadline_ms + bounds.recovery_ms + bounds.skew_ms;
        if let (Some(jump), Some(end)) = (across, index.late_end(request, due, bounds.skew_ms))
            && end.ms > due + index.full_ms(bounds, send.at.ms, end.ms)
        {
            let (late, deadline) = (end.ms - told.ms, send.deadline_ms);
            let sentence = format!(
                "the clock jumped, and it ended only after {late} ms; its deadline was {deadline} ms"
            );
            inquiry.broken(*key, "expired_late", sentence, [send.at.line, jump.line, end.line]);
        }
    }
    for jump in &jumps {
        silences(index, bounds, *jump, inquiry);
    }
}

/// Expiring early is wrong whatever the clock did.
fn expired_early(key: &Key, request: &Request<'_>, bounds: &Bounds, jump: Option<At>, inquiry: &mut Inquiry) {
    // A send whose answer was lost may have been stored: the deadline then runs from it, not from its repeat.
    let Some(send) = request.sends.iter().find(|send| !send.is_refused()) else { return };
    let expired =
        request.ends().into_iter().find(|(_, status, _)| *status == Status::Expired).map(|(at, ..)| at);
    if let Some(at) = expired.filter(|at| at.ms + bounds.skew_ms < send.at.ms + send.deadline_ms) {
        let (took, deadline) = (at.ms - send.at.ms, send.deadline_ms);
        let sentence = format!("it expired after {took} ms; its deadline was {deadline} ms");
        let jump = jump.map(|jump| jump.line);
        inquiry.broken(
            key,
            "expired_early",
            sentence,
            [send.at.line].into_iter().chain(jump).chain([at.line]),
        );
    }
}

/// A jump must not cut short a silence that lasts across it.
fn silences(index: &Index<'_>, bounds: &Bounds, jump: At, inquiry: &mut Inquiry) {
    let Some(allowed) = bounds.silence_min_ms else { return };
    for call in &index.calls {
        let (Some(silent), Some(answer)) = (call.silent, call.answer) else { continue };
        if silent > jump
            || answer.at < jump
            || !answer.caller_gone
            || is_excused(index, bounds, call, answer.at)
        {
            continue;
        }
        inquiry.checked();
        let lasted = answer.at.ms - silent.ms;
        if lasted + bounds.skew_ms < allowed {
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

/// Other reasons to give up a call: the end of its request, by a cancel or its deadline, the end of a process, another
/// fault.
fn is_excused(index: &Index<'_>, bounds: &Bounds, call: &Call<'_>, gone: At) -> bool {
    let request = call.request.and_then(|key| index.requests.get(key));
    let ended = request.is_some_and(|request| {
        let sent = request.accepted_send().map(|(send, _)| send);
        let is_over = sent.is_some_and(|send| gone.ms + bounds.skew_ms >= send.at.ms + send.deadline_ms);
        is_over || !request.cancelled.is_empty()
    });
    let mut deaths = index.processes.iter().filter_map(|process| process.ended).map(|(at, _)| at.ms);
    let began = call.at.ms;
    // The provider's own faults make it silent, so they excuse nothing.
    let expected = |fault: &Fault<'_>| {
        fault.class.starts_with("clock") || fault.class.starts_with("provider") || fault.target == "provider"
    };
    ended || deaths.any(|ms| (began..=gone.ms).contains(&ms)) || !index.is_calm(began, gone.ms, expected)
}
