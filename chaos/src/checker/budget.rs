//! I10: the recorded use of a request covers what its provider put on the bill.

use schemas::Status;

use super::{Bounds, Inquiry, index::Index};

pub(super) fn check(index: &Index<'_>, _: &Bounds, inquiry: &mut Inquiry) {
    for (key, request) in &index.requests {
        let Some(record) = request.recorded.iter().find(|record| record.status == Status::Succeeded) else {
            continue;
        };
        let answered: Vec<_> = index.calls_of(request).filter(|call| call.is_answered_well()).collect();
        let Some(last) = answered.last() else { continue };
        inquiry.checked();
        let bills = answered.iter().filter_map(|call| call.answer).map(|answer| answer.tokens);
        // A worker that died with a whole answer in its hands could not record it; the outcome is that of one call, and
        // it is not known of which.
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
