//! I13: a process that dies is replaced within its bound, and one that keeps dying is not restarted for ever.

use super::{
    Bounds, Inquiry,
    index::{At, Index, Process},
    stall::is_supervised,
};
use crate::history::Signal;

pub(super) fn check(index: &Index<'_>, bounds: &Bounds, inquiry: &mut Inquiry) {
    for (place, process) in index.processes.iter().enumerate() {
        let Some((death, how)) = process.ended.filter(|_| is_supervised(bounds, process)) else { continue };
        let due = death.ms + bounds.replace_ms + bounds.skew_ms;
        // Nobody misses a process that was told to drain, nor any process at the end of the run.
        if was_asked_to_go(process) || is_resting(index, bounds, process, death) || index.over_ms() < due {
            continue;
        }
        inquiry.checked();
        let next =
            index.processes[place + 1..].iter().find(|next| next.role == process.role).map(|next| next.begun);
        if next.is_none_or(|next| next.ms > due) {
            let (role, allowed) = (process.role, bounds.replace_ms);
            let took = next.map_or_else(|| "never".into(), |next| format!("after {} ms", next.ms - death.ms));
            let sentence = format!("{role} died ({how}) and was replaced {took}; {allowed} ms are allowed");
            inquiry.broken(
                None,
                "not_replaced",
                sentence,
                [death.line].into_iter().chain(next.map(|next| next.line)),
            );
        }
    }
    storms(index, bounds, inquiry);
}

fn was_asked_to_go(process: &Process<'_>) -> bool {
    process.signals.iter().any(|(_, signal)| *signal == Signal::Drain)
}

/// The deaths of a role within the window that ends at `until`.
fn deaths(index: &Index<'_>, bounds: &Bounds, role: &str, until: At) -> Vec<At> {
    let from = until.ms.saturating_sub(bounds.restarts_window_ms);
    let same = index.processes.iter().filter(|process| process.role == role && !was_asked_to_go(process));
    let deaths = same.filter_map(|process| process.ended).map(|(at, _)| at);
    deaths.filter(|at| at.ms >= from && *at <= until).collect()
}

/// After too many deaths the supervisor may let the role rest and raise an alarm.
fn is_resting(index: &Index<'_>, bounds: &Bounds, process: &Process<'_>, death: At) -> bool {
    deaths(index, bounds, process.role, death).len() >= bounds.restarts_max
}

/// A role that has died too often must not be restarted at once.
fn storms(index: &Index<'_>, bounds: &Bounds, inquiry: &mut Inquiry) {
    for process in index.processes.iter().filter(|process| is_supervised(bounds, process)) {
        let deaths = deaths(index, bounds, process.role, process.begun);
        if deaths.len() > bounds.restarts_max {
            let (role, window) = (process.role, bounds.restarts_window_ms);
            let sentence =
                format!("{role} was started again after {} deaths within {window} ms", deaths.len());
            let lines = deaths.iter().map(|at| at.line).chain([process.begun.line]);
            inquiry.broken(None, "restart_storm", sentence, lines);
        }
    }
}
