//! I1: every accepted request has exactly one recorded outcome, in time. The kind of a loss says where it lies in the
//! order of acceptance, since each place has another cause; requests that may still be waiting never count as lost.

use super::{
    Bounds, Inquiry,
    index::{At, Call, Fault, Index, Request, Sending},
};

/// Everything accepted before the first survivor is gone: the store started over.
const PREFIX: &str = "lost_prefix";
/// Survivors before it and after it: the worst kind, since only a fault of the engine explains it.
const MIDDLE: &str = "lost_middle";
/// Everything accepted after the last survivor is gone: the last writes never reached the disk.
const TAIL: &str = "lost_tail";

pub(super) fn check(index: &Index<'_>, bounds: &Bounds, inquiry: &mut Inquiry) {
    lost(index, inquiry);
    for (key, request) in &index.requests {
        if request.recorded.len() > 1 {
            let sentence = format!("{} outcomes of it are recorded", request.recorded.len());
            inquiry.broken(
                *key,
                "recorded_twice",
                sentence,
                request.recorded.iter().map(|record| record.at.line),
            );
        }
        let Some((send, told)) = request.accepted_send() else { continue };
        let allowed = send.deadline_ms + bounds.recovery_ms + bounds.skew_ms;
        let due_ms = send.at.ms + allowed;
        if let Some(end) = index.late_end(request, due_ms, bounds.skew_ms)
            && end.ms > due_ms + index.full_ms(bounds, send.at.ms, end.ms)
        {
            let took = end.ms - send.at.ms;
            let sentence = format!("it ended {took} ms after it was sent; {allowed} ms were allowed");
            inquiry.broken(*key, "late", sentence, [send.at.line, told.line, end.line]);
        } else if let Some((asked_ms, end)) = unpunctual(index, bounds, request, send) {
            let took = end.ms - asked_ms;
            let sentence = format!("it ran, and ended {took} ms after its deadline or its cancel");
            inquiry.broken(*key, "unpunctual", sentence, [send.at.line, told.line, end.line]);
        } else if let Some((asked, call)) = unheard(index, bounds, request, send) {
            let sentence = "its cancel did not end the call that was under way".to_owned();
            inquiry.broken(*key, "cancel_unheard", sentence, [asked.line, call.at.line]);
        }
    }
}

/// A cancel, and the call that went on after it although nothing was wrong.
fn unheard<'i, 'a>(
    index: &'i Index<'a>,
    bounds: &Bounds,
    request: &Request<'a>,
    send: &Sending<'_>,
) -> Option<(At, &'i Call<'a>)> {
    let heard_ms = bounds.cancel_heard_ms? + bounds.skew_ms;
    let goes_on = |asked: &At, call: &&Call<'_>| {
        let due_ms = asked.ms + heard_ms;
        let until_ms = call.answer.map_or(index.over_ms(), |answer| answer.at.ms);
        call.at.ms < asked.ms
            && until_ms > due_ms
            && index.is_calm(send.at.ms, due_ms, Fault::leaves_the_engine_alone)
    };
    request.cancelled.iter().find_map(|asked| {
        let call = index.calls_of(request).find(|call| goes_on(asked, call))?;
        Some((*asked, call))
    })
}

/// When running work was due to end and when it ended, if that was too late although nothing was wrong.
fn unpunctual(
    index: &Index<'_>,
    bounds: &Bounds,
    request: &Request<'_>,
    send: &Sending<'_>,
) -> Option<(u64, At)> {
    let punctual_ms = bounds.punctual_ms?;
    let asked = request.cancelled.iter().map(|at| at.ms).chain([send.at.ms + send.deadline_ms]);
    let runs = |ms: u64| {
        let ran = |call: &Call<'_>| call.at.ms < ms && call.answer.is_none_or(|answer| answer.at.ms > ms);
        index.calls_of(request).any(ran)
    };
    let late = |ms: u64| index.late_end(request, ms + punctual_ms + bounds.skew_ms, bounds.skew_ms);
    let found = asked.filter(|ms| runs(*ms)).find_map(|ms| Some((ms, late(ms)?)));
    found.filter(|(_, end)| index.is_calm(send.at.ms, end.ms, Fault::leaves_the_engine_alone))
}

fn lost(index: &Index<'_>, inquiry: &mut Inquiry) {
    let accepted = index.accepted();
    let survives = |place: &usize| !accepted[*place].2.recorded.is_empty();
    let first = (0..accepted.len()).find(survives);
    let last = (0..accepted.len()).rfind(survives);
    let lost: Vec<_> = (0..accepted.len()).filter(|place| !survives(place)).collect();
    accepted.iter().for_each(|_| inquiry.checked());
    let waiting = index.waiting_requests();
    // Requests that still wait are late, not lost: I15 covers them.
    if lost.len() as u64 <= waiting {
        return;
    }
    for place in lost {
        let (told, key, request) = &accepted[place];
        let kind = match (first, last) {
            (_, Some(last)) if place > last => TAIL,
            (Some(first), _) if place > first => MIDDLE,
            _ => PREFIX,
        };
        let also = if waiting > 0 {
            format!("; {waiting} messages still wait, fewer than are missing")
        } else {
            String::new()
        };
        let sentence = format!(
            "accepted as number {} of {}, and no outcome of it is recorded{also}",
            place + 1,
            accepted.len()
        );
        let sent = request.sends.first().map(|send| send.at.line);
        inquiry.broken(*key, kind, sentence, sent.into_iter().chain([told.line]));
    }
}
