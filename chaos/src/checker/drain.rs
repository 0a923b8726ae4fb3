//! I14: a process that is asked to go takes no new work, goes in time and in order, and what it hands back is not charged.

use schemas::{ErrorCode, Status};

use super::{
    Bounds, Inquiry,
    index::{At, Index, Process},
    stall::is_supervised,
};
use crate::history::Signal;

pub(super) fn check(index: &Index<'_>, bounds: &Bounds, inquiry: &mut Inquiry) {
    for process in &index.processes {
        let Some((asked, _)) = process.signals.iter().find(|(_, signal)| *signal == Signal::Drain) else {
            continue;
        };
        exits(index, bounds, process, *asked, inquiry);
        if is_supervised(bounds, process) {
            takes_nothing_new(index, bounds, process, *asked, inquiry);
        }
        charges_nothing(index, bounds, *asked, inquiry);
    }
}

fn exits(index: &Index<'_>, bounds: &Bounds, process: &Process<'_>, asked: At, inquiry: &mut Inquiry) {
    let due = asked.ms + bounds.drain_ms + bounds.skew_ms;
    // A second signal, or a kill, ends it at once, and says nothing of the drain.
    let disturbed = process.signals.iter().any(|(at, _)| *at > asked && at.ms <= due);
    if disturbed || (process.ended.is_none() && index.over_ms() < due) {
        return;
    }
    inquiry.checked();
    let (role, allowed) = (process.role, bounds.drain_ms);
    match process.ended {
        Some((ended, _)) if ended.ms > due => {
            let took = ended.ms - asked.ms;
            let sentence = format!("{role} took {took} ms to go; {allowed} ms are allowed");
            inquiry.broken(None, "slow_exit", sentence, [asked.line, ended.line]);
        }
        Some((ended, how)) if !is_exit_0(how) => {
            let sentence = format!("{role} was asked to go and ended with `{how}`, not with exit 0");
            inquiry.broken(None, "bad_exit", sentence, [asked.line, ended.line]);
        }
        Some(_) => {}
        None => {
            let sentence = format!("{role} was asked to go and is still there");
            inquiry.broken(None, "no_exit", sentence, [asked.line]);
        }
    }
}

/// `exit 0`, `exit status: 0`, `exit code: 0`.
fn is_exit_0(how: &str) -> bool {
    how.starts_with("exit") && how.rsplit([' ', ':']).next() == Some("0")
}

/// Calls do not say which process makes them: this can be told only while all that work are on their way out.
fn takes_nothing_new(
    index: &Index<'_>,
    bounds: &Bounds,
    process: &Process<'_>,
    asked: At,
    inquiry: &mut Inquiry,
) {
    let until = process.ended.map_or(u64::MAX, |(ended, _)| ended.ms);
    let from = asked.ms + bounds.skew_ms;
    for call in index.calls.iter().filter(|call| (from..until).contains(&call.at.ms)) {
        let mut others =
            index.processes.iter().filter(|other| is_supervised(bounds, other) && other.lives_at(call.at.ms));
        let leaving = |other: &Process<'_>| {
            other
                .signals
                .iter()
                .any(|(at, signal)| *signal == Signal::Drain && at.ms + bounds.skew_ms <= call.at.ms)
        };
        // A request that already runs may be tried again; a new one may not be begun.
        let begun = call
            .request
            .and_then(|key| index.requests.get(key))
            .and_then(|request| index.calls_of(request).next());
        let is_new = begun.is_none_or(|first| first.at == call.at);
        if is_new && others.all(leaving) {
            let sentence = format!("{} was asked to go, and then work was begun", process.role);
            inquiry.broken(call.request, "new_work", sentence, [asked.line, call.at.line]);
        }
    }
}

/// A request that ran through the drain must not be given up for it.
fn charges_nothing(index: &Index<'_>, bounds: &Bounds, asked: At, inquiry: &mut Inquiry) {
    for (key, request) in &index.requests {
        let mut calls = index.calls_of(request);
        let ran = calls.any(|call| call.at < asked && call.answer.is_none_or(|answer| answer.at > asked));
        let Some(record) = request.recorded.first().filter(|_| ran) else { continue };
        inquiry.checked();
        let lost = index
            .calls_of(request)
            .filter(|call| call.answer.is_none_or(|answer| answer.caller_gone))
            .count();
        let given_up = record.status == Status::Failed && record.code == Some(ErrorCode::Stalled);
        // One of the lost calls is the drain's; with fewer than the allowed ones beside it, no attempt was left to give up.
        if given_up && (lost as u64) <= bounds.attempts_max {
            let sentence =
                "a drain handed it back, and that was counted as an attempt: it was given up".to_owned();
            inquiry.broken(*key, "charged", sentence, [asked.line, record.at.line]);
        }
    }
}
