//! I4: a provider is called for a request no more often than tries and redeliveries allow, each time with the same
//! idempotency key, which no other request has. A call that the provider only told to come later is no try.

use std::collections::BTreeMap;

use super::{
    Bounds, Inquiry,
    index::{Call, Fault, Index, Process},
};
use crate::history::{Key, Signal};

/// How many deliveries count as one attempt if nobody knows how many of them began.
pub(super) const DELIVERIES_PER_ATTEMPT: u64 = 4;

pub(super) fn check(index: &Index<'_>, bounds: &Bounds, inquiry: &mut Inquiry) {
    let mut owners: BTreeMap<&str, (&Key, usize)> = BTreeMap::new();
    for (key, request) in &index.requests {
        let calls: Vec<_> = index.calls_of(request).collect();
        let (Some(first), Some(last)) = (calls.first(), calls.last()) else { continue };
        inquiry.checked();
        let sent_ms = request.sends.first().map_or(0, |send| send.at.ms);
        let calm = index.is_calm(sent_ms, last.at.ms, Fault::leaves_the_engine_alone);
        let attempts = bounds.attempts_calm.filter(|_| calm).unwrap_or(bounds.attempts_max);
        let allowed = allowed(index, bounds, attempts, first, last);
        for (model, tries) in tries(&calls) {
            if tries.len() as u64 > allowed {
                let sentence = format!("{model} was called {} times; {allowed} are allowed", tries.len());
                inquiry.broken(*key, "too_many_calls", sentence, tries);
            }
        }
        for call in &calls {
            one_key(key, first, call, inquiry);
            let Some(mark) = call.idempotency_key else { continue };
            let (owner, line) = *owners.entry(mark).or_insert((*key, call.at.line));
            if owner != *key {
                let sentence =
                    format!("its call carries the idempotency key of {}/{}", owner.tenant, owner.id);
                inquiry.broken(*key, "key_shared", sentence, [line, call.at.line]);
            }
        }
    }
}

/// The lines of the calls that count, by model.
fn tries<'a>(calls: &[&Call<'a>]) -> BTreeMap<&'a str, Vec<usize>> {
    let mut tries = BTreeMap::<_, Vec<_>>::new();
    for call in calls.iter().filter(|call| !call.is_throttled()) {
        tries.entry(call.model).or_default().push(call.at.line);
    }
    tries
}

/// Work that a drain hands back costs no attempt, so each drain on the way allows one more. If nobody knows that an
/// attempt began, only the count of deliveries tells it from a delivery that nobody looked at.
fn allowed(index: &Index<'_>, bounds: &Bounds, attempts: u64, first: &Call<'_>, last: &Call<'_>) -> u64 {
    // A process told to drain earlier may have begun the call while it was leaving.
    let on_the_way = |process: &&Process<'_>| {
        let asked = process.signals.iter().find(|(_, signal)| *signal == Signal::Drain);
        let gone_ms = process.ended.map_or(u64::MAX, |(ended, _)| ended.ms);
        asked.is_some_and(|(at, _)| at.ms <= last.at.ms && gone_ms >= first.at.ms)
    };
    let handed_back = index.processes.iter().filter(on_the_way).count() as u64;
    let hidden = !index.is_calm(first.at.ms, last.at.ms, |fault| !fault.hides_events());
    let attempts = if hidden { attempts * DELIVERIES_PER_ATTEMPT } else { attempts };
    (attempts + handed_back) * (1 + bounds.retries)
}

fn one_key(key: &Key, first: &Call<'_>, call: &Call<'_>, inquiry: &mut Inquiry) {
    if call.idempotency_key != first.idempotency_key {
        let sentence = "two calls for it carry different idempotency keys".to_owned();
        inquiry.broken(key, "key_moved", sentence, [first.at.line, call.at.line]);
    }
}
