//! I14: a process that is asked to go takes no new work, goes in time and in order, and what it hands back is not charged.

use schemas::{ErrorCode, Status};

use super::{
    Bounds, Inquiry,
    index::{At, Fault, Index, Process},
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
        charges_nothing(index, bounds, process, *asked, inquiry);
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

/// What this drain alone handed back must not be given up one attempt too early. The number of the last attempt tells:
/// it counts all deliveries, also those that cost nothing.
fn charges_nothing(
    index: &Index<'_>,
    bounds: &Bounds,
    process: &Process<'_>,
    asked: At,
    inquiry: &mut Inquiry,
) {
    let until = process.ended.map_or(u64::MAX, |(ended, _)| ended.ms.saturating_add(bounds.skew_ms));
    for (key, request) in &index.requests {
        let handed_back = index.calls_of(request).find(|call| {
            let gone = call.answer.filter(|answer| answer.caller_gone).map(|answer| answer.at);
            call.at < asked && gone.is_some_and(|gone| gone > asked && gone.ms <= until)
        });
        let (Some(call), Some(record)) = (handed_back, request.recorded.first()) else { continue };
        let gone_ms = call.answer.map_or(asked.ms, |answer| answer.at.ms);
        if !request.cancelled.is_empty() || !is_alone(index, process, call.at.ms, gone_ms) {
            continue;
        }
        inquiry.checked();
        let given_up = record.status == Status::Failed && record.code == Some(ErrorCode::Stalled);
        let last = request.frames().into_iter().map(|(.., frame)| u64::from(frame.attempt)).max();
        // Given up honestly it has had all its attempts, the free one, and the one that only said so.
        if given_up && last.is_some_and(|last| last < bounds.attempts_max + 2) {
            let sentence =
                "a drain handed it back, and that was counted as an attempt: it was given up".to_owned();
            inquiry.broken(*key, "charged", sentence, [call.at.line, asked.line, record.at.line]);
        }
    }
}

/// Whether nothing but this drain can have ended a call.
fn is_alone(index: &Index<'_>, process: &Process<'_>, from_ms: u64, until_ms: u64) -> bool {
    let drains = |fault: &Fault<'_>| fault.class.contains("drain") || fault.class == "terminate";
    let mut others = index.processes.iter().filter(|other| other.begun != process.begun);
    let died = others.any(|other| other.ended.is_some_and(|(at, _)| (from_ms..=until_ms).contains(&at.ms)));
    !died && index.is_calm(from_ms, until_ms, drains)
}
