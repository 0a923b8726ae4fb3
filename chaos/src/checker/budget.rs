//! I10: the recorded usage of a request covers what its provider billed, and stands in the ledger once.

use schemas::Status;

use super::{
    Bounds, Inquiry,
    index::{Index, Request},
};
use crate::history::Key;

pub(super) fn check(index: &Index<'_>, _: &Bounds, inquiry: &mut Inquiry) {
    check_bills(index, inquiry);
    // If nobody read the ledger after the run, no entry can be missing.
    if index.requests.values().any(|request| !request.ledgered.is_empty()) {
        for (key, request) in &index.requests {
            check_ledger(key, request, inquiry);
        }
    }
}

/// The one outcome has one ledger entry, with the same calls and tokens.
fn check_ledger(key: &Key, request: &Request<'_>, inquiry: &mut Inquiry) {
    let [record] = request.recorded.as_slice() else { return };
    if record.calls == 0 && request.ledgered.is_empty() {
        return;
    }
    inquiry.checked();
    let lines = request.ledgered.iter().map(|(at, ..)| at.line).chain([record.at.line]);
    match request.ledgered.as_slice() {
        [] => inquiry.broken(key, "not_in_the_ledger", "its calls stand nowhere in the ledger".into(), lines),
        [(_, calls, tokens)] if (*calls, *tokens) == (record.calls, record.tokens) => {}
        [(_, calls, tokens)] => {
            let sentence = format!(
                "its outcome speaks of {} calls and {} tokens; the ledger has {calls} and {tokens}",
                record.calls, record.tokens
            );
            inquiry.broken(key, "other_in_the_ledger", sentence, lines);
        }
        several => {
            let sentence = format!("it stands in the ledger {} times", several.len());
            inquiry.broken(key, "twice_in_the_ledger", sentence, lines);
        }
    }
}

fn check_bills(index: &Index<'_>, inquiry: &mut Inquiry) {
    for (key, request) in &index.requests {
        let Some(record) = request.recorded.iter().find(|record| record.status == Status::Succeeded) else {
            continue;
        };
        let answered: Vec<_> = index.calls_of(request).filter(|call| call.is_answered_well()).collect();
        let Some(last) = answered.last() else { continue };
        inquiry.checked();
        let bills = answered.iter().filter_map(|call| call.answer).map(|answer| answer.tokens);
        // A worker that died holding a whole answer could not record it; the outcome covers one call, and nothing tells
        // which.
        let billed: u64 = if answered.len() > 1 && index.is_disturbed_before(last.at.line) {
            bills.min().unwrap_or(0)
        } else {
            bills.sum()
        };
        if record.tokens < billed {
            let sentence = format!("its outcome speaks of {} tokens; the bill has {billed}", record.tokens);
            let lines = answered.iter().filter_map(|call| call.answer).map(|answer| answer.at.line);
            inquiry.broken(*key, "under_the_bill", sentence, lines.chain([record.at.line]));
        }
    }
}
