//! I8: a refusal comes at once and says when to return, and a refused request never runs.

use schemas::{ErrorCode, Status};

use super::{
    Bounds, Inquiry,
    index::{Answer, At, Index, Record, Request, Sending},
};
use crate::history::{Door, Key};

pub(super) fn check(index: &Index<'_>, bounds: &Bounds, inquiry: &mut Inquiry) {
    for (key, request) in &index.requests {
        for send in &request.sends {
            let Some((at, Answer::Refused { code, retry_after_ms })) = send.answer else { continue };
            inquiry.checked();
            let lines = [send.at.line, at.line];
            // On the bus the broker refuses the publish, and its answer has no place for a time.
            let says_when = retry_after_ms.is_some() || send.door == Door::Bus;
            if matches!(code, ErrorCode::Overloaded | ErrorCode::RateLimited) && !says_when {
                let sentence = format!("it was refused as `{code}` and not told when to return");
                inquiry.broken(*key, "no_retry_after", sentence, lines);
            }
            let took = at.ms.saturating_sub(send.at.ms);
            let allowed = bounds.refusal_ms + bounds.skew_ms;
            if took > allowed {
                let sentence = format!("its refusal took {took} ms; {allowed} ms are allowed");
                inquiry.broken(*key, "slow_refusal", sentence, lines);
            }
            ran(index, key, request, at, inquiry);
        }
    }
}

/// Whether it ran after its refusal and before anybody sent it again; a run that another send started is no breach.
fn ran(index: &Index<'_>, key: &Key, request: &Request<'_>, refused: At, inquiry: &mut Inquiry) {
    let refused_earlier = |send: &Sending<'_>| send.is_refused() || send.at > refused;
    if !request.sends.iter().all(refused_earlier) {
        return;
    }
    let until = request.sends.iter().map(|send| send.at).filter(|at| *at > refused).min();
    let alone = |at: At| at > refused && until.is_none_or(|until| at < until);
    if let Some(call) = index.calls_of(request).find(|call| alone(call.at)) {
        let sentence = "it was refused, and then the provider was called for it".to_owned();
        inquiry.broken(key, "ran", sentence, [refused.line, call.at.line]);
    }
    if request.may_run() {
        return;
    }
    if let Some(record) = request.recorded.iter().find(|record| !is_recorded_refusal(record)) {
        let sentence = format!("it was refused, and is recorded as {}", record.status.as_str());
        inquiry.broken(key, "outcome_of_refused", sentence, [refused.line, record.at.line]);
    }
}

/// A refusal that the classifier recorded: a failure that no provider knows about.
fn is_recorded_refusal(record: &Record<'_>) -> bool {
    record.status != Status::Succeeded && record.code.is_some() && record.calls == 0
}
