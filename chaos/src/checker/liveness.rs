//! I15: once the faults are over, every accepted request ends within the bound, and the engine is as quick as before.

use super::{
    Bounds, Inquiry,
    index::{At, Index},
    latency,
};
use crate::history::Phase;

/// The p99 of fewer requests than this is not worth comparing.
const REQUESTS_MIN: usize = 20;

pub(super) fn check(index: &Index<'_>, bounds: &Bounds, inquiry: &mut Inquiry) {
    let Some(settle) = index.phase(Phase::Settle) else { return };
    everything_ends(index, bounds, settle, inquiry);
    is_quick_again(index, bounds, settle, inquiry);
}

fn everything_ends(index: &Index<'_>, bounds: &Bounds, settle: At, inquiry: &mut Inquiry) {
    let due = settle.ms + bounds.settle_ms + bounds.skew_ms;
    let waiting = index.waiting_requests();
    for (told, key, request) in index.accepted() {
        inquiry.checked();
        if let Some(end) = index.late_end(request, due, bounds.skew_ms) {
            let (took, allowed) = (end.ms - settle.ms, bounds.settle_ms);
            let sentence = format!("it ended {took} ms after the load; {allowed} ms are allowed");
            inquiry.broken(key, "settled_late", sentence, [told.line, settle.line, end.line]);
        }
        if request.recorded.is_empty() && waiting > 0 {
            let sentence = "the run was over, and it had no outcome".to_owned();
            inquiry.broken(key, "unfinished", sentence, [told.line, settle.line]);
        }
    }
    for (stream, (at, messages)) in index.waiting.iter().filter(|(_, (_, messages))| *messages > 0) {
        let sentence = format!("still waiting in {stream}: {messages}");
        inquiry.broken(None, "still_waiting", sentence, [settle.line, at.line]);
    }
}

fn is_quick_again(index: &Index<'_>, bounds: &Bounds, settle: At, inquiry: &mut Inquiry) {
    let (Some(quiet), Some(fault), Some(healed)) =
        (index.phase(Phase::Quiet), index.phase(Phase::Fault), index.phase(Phase::Healed))
    else {
        return;
    };
    let before = latency::between(index, quiet.ms, fault.ms);
    let after = latency::between(index, healed.ms + bounds.recovery_after_heal_ms, settle.ms);
    if before.len() < REQUESTS_MIN || after.len() < REQUESTS_MIN {
        return;
    }
    inquiry.checked();
    let (was, is) = (latency::percentile(&before, 99), latency::percentile(&after, 99));
    let allowed = ((was as f64 * bounds.latency_factor) as u64).max(bounds.latency_floor_ms);
    if is > allowed {
        let sentence = format!(
            "after healing the p99 was {is} ms, before the faults {was} ms; {allowed} ms are allowed"
        );
        inquiry.broken(None, "still_slow", sentence, [quiet.line, healed.line, settle.line]);
    }
}
