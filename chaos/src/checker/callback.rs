//! I11: every requested callback is taken or found parked; each try has the same id, a valid signature and the recorded
//! outcome.

use std::collections::BTreeMap;

use schemas::{ErrorCode, Status};

use super::{
    Bounds, Inquiry,
    index::{Index, Record, Request},
};
use crate::history::Key;

pub(super) fn check(index: &Index<'_>, _: &Bounds, inquiry: &mut Inquiry) {
    let mut owners: BTreeMap<&str, (&Key, usize)> = BTreeMap::new();
    for (key, request) in &index.requests {
        let asked = request.sends.iter().find(|send| send.callback);
        tries(key, request, inquiry);
        for callback in &request.callbacks {
            let (owner, line) = *owners.entry(callback.webhook).or_insert((*key, callback.at.line));
            if owner != *key {
                let sentence =
                    format!("its callback carries the webhook-id of {}/{}", owner.tenant, owner.id);
                inquiry.broken(*key, "id_shared", sentence, [line, callback.at.line]);
            }
        }
        match (asked, request.callbacks.first()) {
            (None, Some(callback)) if !request.sends.is_empty() => {
                let sentence = "a callback of it came, and nobody had asked for one".to_owned();
                inquiry.broken(*key, "unasked", sentence, [request.sends[0].at.line, callback.at.line]);
            }
            (Some(asked), _) if request.accepted().is_some() => {
                inquiry.checked();
                missing(key, request, asked.at.line, inquiry);
            }
            _ => {}
        }
    }
}

/// A callback must be taken or parked. A request without an outcome has nothing to call back; I1 covers that.
fn missing(key: &Key, request: &Request<'_>, asked: usize, inquiry: &mut Inquiry) {
    let Some(record) = request.recorded.first() else { return };
    let taken = request.callbacks.iter().any(|callback| (200..300).contains(&callback.replied));
    if taken || !request.parked.is_empty() || is_refused(record) {
        return;
    }
    let tries = request.callbacks.len();
    let sentence = format!("its callback was tried {tries} times, never taken, and is not parked");
    let tried = request.callbacks.iter().map(|callback| callback.at.line);
    inquiry.broken(key, "missing", sentence, [asked].into_iter().chain(tried).chain([record.at.line]));
}

/// A request refused after its acceptance may have named no usable callback.
fn is_refused(record: &Record<'_>) -> bool {
    record.status == Status::Failed && record.calls == 0 && record.code == Some(ErrorCode::InvalidRequest)
}

fn tries(key: &Key, request: &Request<'_>, inquiry: &mut Inquiry) {
    let Some(first) = request.callbacks.first() else { return };
    for callback in &request.callbacks {
        inquiry.checked();
        if !callback.valid {
            let sentence = "the signature of its callback does not hold".to_owned();
            inquiry.broken(key, "bad_signature", sentence, [callback.at.line]);
        }
        if callback.webhook != first.webhook {
            let sentence = "two tries of its callback carry different webhook-ids".to_owned();
            inquiry.broken(key, "id_moved", sentence, [first.at.line, callback.at.line]);
        }
        if let Some(record) = request.recorded.iter().find(|record| record.digest != callback.digest) {
            let sentence = "its callback holds another outcome than the recorded one".to_owned();
            inquiry.broken(key, "other_outcome", sentence, [callback.at.line, record.at.line]);
        }
    }
}
