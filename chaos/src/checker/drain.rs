//! I14: a process told to drain starts no new work and exits with 0 in time; what it hands back costs no attempt.

use schemas::{ErrorCode, Status};

use super::{
    Bounds, Inquiry,
    index::{At, Call, Fault, Index, Process},
    stall::is_supervised,
    tries::DELIVERIES_PER_ATTEMPT,
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
    // A second signal or a kill ends the process at once and says nothing about the drain.
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

/// Calls do not name the process that makes them: this can be checked only while every working process is leaving.
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
        // The engine may try a running request again; it may not begin a new one.
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

/// The engine must not give up work that only this drain handed back before it has had all its attempts besides. Each
/// attempt makes at least one call.
fn charges_nothing(
    index: &Index<'_>,
    bounds: &Bounds,
    process: &Process<'_>,
    asked: At,
    inquiry: &mut Inquiry,
) {
    if bounds.queued_max.is_some_and(|max| index.open_at(asked.ms) >= max) {
        return;
    }
    for (key, request) in &index.requests {
        let handed_back = index.calls_of(request).find_map(|call| {
            let gone = handed_back_at(bounds, process, call).filter(|gone| *gone > asked)?;
            is_alone(index, process, asked.ms, gone.ms).then_some(call)
        });
        let (Some(call), Some(record)) = (handed_back, request.recorded.first()) else { continue };
        if !request.cancelled.is_empty() {
            continue;
        }
        inquiry.checked();
        let given_up = record.status == Status::Failed && record.code == Some(ErrorCode::Stalled);
        let free = |call: &&Call<'_>| {
            index.processes.iter().any(|process| handed_back_at(bounds, process, call).is_some())
        };
        let charged = index.calls_of(request).filter(|call| !free(call)).count() as u64;
        // Higher numbers stem from deliveries, or from a time, that nobody remembers.
        let last = request.frames().into_iter().map(|(.., frame)| u64::from(frame.attempt)).max();
        let is_remembered = last.is_some_and(|last| last <= bounds.attempts_max * DELIVERIES_PER_ATTEMPT);
        if given_up && charged < bounds.attempts_max && is_remembered {
            let sentence = format!(
                "a drain handed it back, and it was given up after {charged} of {} attempts",
                bounds.attempts_max
            );
            inquiry.broken(*key, "charged", sentence, [call.at.line, asked.line, record.at.line]);
        }
    }
}

/// When the process left a call because it had been told to drain, if it did.
fn handed_back_at(bounds: &Bounds, process: &Process<'_>, call: &Call<'_>) -> Option<At> {
    let gone = call.answer.filter(|answer| answer.caller_gone)?.at;
    let until = process.ended.map_or(u64::MAX, |(ended, _)| ended.ms.saturating_add(bounds.skew_ms));
    let asked = |(at, signal): &(At, Signal)| *signal == Signal::Drain && *at < gone;
    (gone.ms <= until && process.signals.iter().any(asked)).then_some(gone)
}

/// Whether only this drain can have ended a call in this time, or hidden from the broker what became of the call.
fn is_alone(index: &Index<'_>, process: &Process<'_>, from_ms: u64, until_ms: u64) -> bool {
    let is_harmless = |fault: &Fault<'_>| {
        let elsewhere = ["gateway", "clients"].iter().any(|of| fault.class.starts_with(of));
        let is_drain = fault.class.contains("drain") || fault.class == "terminate";
        is_drain || elsewhere || fault.leaves_the_engine_alone() || fault.strikes_only_beside_the_work()
    };
    let mut others = index.processes.iter().filter(|other| other.begun != process.begun);
    let died = others.any(|other| other.ended.is_some_and(|(at, _)| (from_ms..=until_ms).contains(&at.ms)));
    !died && index.is_calm(from_ms, until_ms, is_harmless)
}
