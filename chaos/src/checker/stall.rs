//! I12: stalled work is ended within its bound and continues elsewhere; slow work is left alone.

use super::{
    Bounds, Inquiry,
    index::{Answered, At, Call, Fault, Index, Process},
};
use crate::history::{Fact, Key, Signal};

pub(super) fn check(index: &Index<'_>, bounds: &Bounds, inquiry: &mut Inquiry) {
    for process in &index.processes {
        for (place, (at, signal)) in process.signals.iter().enumerate() {
            let next = process.signals.get(place + 1).map(|(at, _)| *at);
            match signal {
                Signal::Stop | Signal::Spin if is_supervised(bounds, process) => {
                    stopped(index, bounds, process, *at, next, inquiry);
                }
                Signal::Slow => slow(process, *at, next, inquiry),
                _ => {}
            }
        }
        if let Some((death, _)) = process.ended {
            abandoned(index, bounds, death, inquiry);
        }
    }
    index.calls.iter().for_each(|call| silent(index, bounds, call, inquiry));
    for (key, request) in &index.requests {
        let calls: Vec<_> = index.calls_of(request).collect();
        let sent_ms = request.sends.first().map_or(0, |send| send.at.ms);
        calls
            .windows(2)
            .for_each(|pair| taken_over(index, bounds, key, sent_ms, (pair[0], pair[1]), inquiry));
    }
}

/// If nothing has struck the engine since the request was sent, only one worker has its work: no call begins while the
/// provider still answers the one before it, however slowly.
fn taken_over(
    index: &Index<'_>,
    bounds: &Bounds,
    key: &Key,
    sent_ms: u64,
    (slow, next): (&Call<'_>, &Call<'_>),
    inquiry: &mut Inquiry,
) {
    let struck = |process: &Process<'_>| {
        let ended = process.ended.map(|(at, _)| at.ms);
        let moments = process.signals.iter().map(|(at, _)| at.ms).chain(ended);
        moments.into_iter().any(|ms| (sent_ms..=next.at.ms).contains(&ms))
    };
    if slow.silent.is_some()
        || !index.is_calm(sent_ms, next.at.ms, Fault::leaves_the_engine_alone)
        || index.processes.iter().any(struck)
    {
        return;
    }
    inquiry.checked();
    let over = slow.answer.map(|answer| answer.at);
    if over.is_none_or(|over| over.ms > next.at.ms + bounds.skew_ms) {
        let sentence = "a call for it began while the one before it was still being answered".to_owned();
        let lines = [slow.at.line, next.at.line].into_iter().chain(over.map(|over| over.line));
        inquiry.broken(key, "taken_over", sentence, lines);
    }
}

pub(super) fn is_supervised(bounds: &Bounds, process: &Process<'_>) -> bool {
    bounds.supervised.iter().any(|role| process.role.starts_with(role.as_str()))
}

/// The stopped process must be ended, unless the harness resumed or ended it before that.
fn stopped(
    index: &Index<'_>,
    bounds: &Bounds,
    process: &Process<'_>,
    at: At,
    next: Option<At>,
    inquiry: &mut Inquiry,
) {
    let due = at.ms + bounds.stall_kill_ms + bounds.skew_ms;
    if next.is_some_and(|next| next.ms <= due) || index.over_ms() < due {
        return;
    }
    inquiry.checked();
    let ended = process.ended.map(|(ended, _)| ended);
    if ended.is_none_or(|ended| ended.ms > due) {
        let took = ended.map_or_else(|| "never".into(), |ended| format!("after {} ms", ended.ms - at.ms));
        let allowed = bounds.stall_kill_ms;
        let sentence = format!("{} stood still and was ended {took}; {allowed} ms are allowed", process.role);
        inquiry.broken(
            None,
            "not_killed",
            sentence,
            [at.line].into_iter().chain(ended.map(|ended| ended.line)),
        );
    }
}

fn slow(process: &Process<'_>, at: At, next: Option<At>, inquiry: &mut Inquiry) {
    inquiry.checked();
    if let Some((ended, how)) = process.ended.filter(|(ended, _)| next.is_none_or(|next| *ended < next)) {
        let sentence = format!("{} was only slow, and was ended ({how})", process.role);
        inquiry.broken(None, "slow_killed", sentence, [at.line, ended.line]);
    }
}

/// If a provider falls silent, the engine must give up the call and continue the request.
fn silent(index: &Index<'_>, bounds: &Bounds, call: &Call<'_>, inquiry: &mut Inquiry) {
    let Some(silent) = call.silent else { return };
    let due = silent.ms + bounds.silence_ms + bounds.skew_ms;
    match call.answer {
        Some(answer) if answer.at.ms <= due => {
            inquiry.checked();
            goes_on(index, bounds, call, answer, inquiry);
        }
        None if index.over_ms() < due => {}
        answer => {
            inquiry.checked();
            let allowed = bounds.silence_ms;
            let sentence = format!("a call whose provider fell silent was not given up within {allowed} ms");
            let lines = [silent.line].into_iter().chain(answer.map(|answer| answer.at.line));
            inquiry.broken(call.request, "not_given_up", sentence, lines);
        }
    }
}

/// The calls that ended with a process: whichever process waited for them, their requests must go on.
fn abandoned(index: &Index<'_>, bounds: &Bounds, death: At, inquiry: &mut Inquiry) {
    for call in &index.calls {
        let Some(answer) = call.answer.filter(|answer| answer.caller_gone) else { continue };
        let with_it =
            (death.ms.saturating_sub(bounds.skew_ms)..=death.ms + bounds.skew_ms).contains(&answer.at.ms);
        if with_it && call.silent.is_none() {
            inquiry.checked();
            goes_on(index, bounds, call, answer, inquiry);
        }
    }
}

/// After the engine has given up a call, it makes a new one for the request, or the request ends.
fn goes_on(index: &Index<'_>, bounds: &Bounds, call: &Call<'_>, gone: Answered, inquiry: &mut Inquiry) {
    let Some(key) = call.request else { return };
    let due = gone.at.ms + bounds.redelivery_ms + bounds.skew_ms;
    let signs = index.facts().skip(call.at.line + 1).filter(|(_, fact)| is_sign_of_life(fact, key));
    let next = signs.map(|(at, _)| at).find(|at| *at > gone.at || is_end(index, *at));
    let watched = index.requests.get(key).is_some_and(|request| request.is_watched());
    // An end that nobody read has no time; only its record says that there was one.
    let unseen = next.is_none() && (!watched || index.over_ms() < due);
    let is_late = |next: At| next.ms > due && next.ms > due + index.full_ms(bounds, gone.at.ms, next.ms);
    if !unseen && next.is_none_or(is_late) {
        let took =
            next.map_or_else(|| "not at all".into(), |next| format!("after {} ms", next.ms - gone.at.ms));
        let allowed = bounds.redelivery_ms;
        let sentence = format!("its call was given up, and it went on {took}; {allowed} ms are allowed");
        inquiry.broken(
            key,
            "not_redelivered",
            sentence,
            [call.at.line, gone.at.line].into_iter().chain(next.map(|next| next.line)),
        );
    }
}

fn is_sign_of_life(fact: &Fact, key: &Key) -> bool {
    match fact {
        Fact::Called { request, .. } => request.as_ref() == Some(key),
        Fact::Frame { request, status, .. } | Fact::CalledBack { request, status, .. } => {
            request == key && status.is_some()
        }
        _ => false,
    }
}

/// A call may be given up because its request has ended.
fn is_end(index: &Index<'_>, at: At) -> bool {
    !matches!(index.entries[at.line].fact, Fact::Called { .. })
}
