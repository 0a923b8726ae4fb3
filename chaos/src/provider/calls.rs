//! Records what arrived at the simulated provider and how it ended, so that a test can assert the provider's side.
//! It never holds a credential, only a fingerprint that tells two apart.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use jiff::Timestamp;
use serde::Serialize;

use super::witness::Witness;
use crate::fingerprint::fingerprint;
use crate::journal::{EntryNumber, Journal};

/// How many characters of a header are logged; nobody sends a key that is longer.
const MAX_HEADER_CHARS: usize = 256;

/// One call to the simulated provider.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// When its body had arrived.
    pub at: Timestamp,
    /// Its path.
    pub path: String,
    /// The model it named, if it got that far.
    pub model: Option<String>,
    /// Its `idempotency-key`.
    pub idempotency_key: Option<String>,
    /// Its `x-sim-key`.
    pub sim_key: Option<String>,
    /// Its `traceparent`.
    pub traceparent: Option<String>,
    /// A fingerprint of its `authorization` or its API's own key header: the first hexadecimal digits of the SHA-256.
    pub authorization: Option<String>,
    /// Whether it asked for a stream.
    pub stream: bool,
    /// The fault that hit it, in the words of the grammar.
    pub fault: Option<String>,
    /// The status of its answer; none if there is none yet, or none at all.
    pub status: Option<u16>,
    /// Chunks of its stream that were sent, once it has ended. A drip counts none.
    pub chunks: u32,
    /// How it ended.
    pub outcome: CallOutcome,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// Not yet.
    InProgress,
    /// With its whole answer (which a fault may have spoilt, but not cut short).
    Answered,
    /// With an error.
    Refused,
    /// With 429, because it came too soon for its `rpm`.
    RateLimited,
    /// The simulator broke the answer off, as a fault told it to.
    Broken,
    /// The client went away before the end (or the simulator was shut down).
    ClientGone,
}

impl Call {
    pub(super) fn arrived(path: &str, headers: &HeaderMap) -> Self {
        Self {
            at: Timestamp::now(),
            path: path.to_owned(),
            model: None,
            idempotency_key: text(headers, "idempotency-key"),
            sim_key: text(headers, "x-sim-key"),
            traceparent: text(headers, "traceparent"),
            authorization: headers
                .get(AUTHORIZATION)
                .or_else(|| headers.get("x-api-key"))
                .or_else(|| headers.get("x-goog-api-key"))
                .map(|value| fingerprint(value.as_bytes())),
            stream: false,
            fault: None,
            status: None,
            chunks: 0,
            outcome: CallOutcome::InProgress,
        }
    }
}

/// A call under way. If it is dropped without an end, the client went away.
#[derive(Debug)]
pub(super) struct OpenCall {
    calls: Journal<Call>,
    number: EntryNumber,
    ended: bool,
    witness: Option<Witness>,
    /// Whether it answers piece by piece: only such a call can be seen to stand still.
    pub(super) streams: bool,
    /// Tokens that a whole answer bills.
    pub(super) billed: u32,
    /// When it allows the next call, if it says so.
    pub(super) retry_after: Option<Duration>,
    pub(super) chunks: u32,
}

impl OpenCall {
    pub(super) fn new(calls: Journal<Call>, call: Call, witness: Option<Witness>) -> Self {
        let number = calls.push(call);
        Self { calls, number, ended: false, witness, streams: true, billed: 0, retry_after: None, chunks: 0 }
    }

    /// Notes the fault that is about to hit this call.
    pub(super) fn hit_by(&self, fault: String) {
        self.calls.update(self.number, |call| call.fault = Some(fault));
    }

    /// Notes that nothing more comes.
    pub(super) fn silent(&self) {
        if let Some(witness) = self.witness.as_ref().filter(|_| self.streams) {
            witness.silent();
        }
    }

    /// Notes the status of an answer whose body is still to be sent.
    pub(super) fn answering(&self, status: u16) {
        self.calls.update(self.number, |call| call.status = Some(status));
    }

    pub(super) fn end(&mut self, outcome: CallOutcome, status: u16) {
        self.settle(outcome, Some(status));
    }

    fn settle(&mut self, outcome: CallOutcome, status: Option<u16>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let chunks = self.chunks;
        let mut told = status;
        self.calls.update(self.number, |call| {
            call.outcome = outcome;
            call.chunks = chunks;
            call.status = status.or(call.status);
            told = call.status;
        });
        if let Some(witness) = &self.witness {
            let wait = self.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            witness.answered(outcome, told, wait, self.billed.into());
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.settle(CallOutcome::ClientGone, None);
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).chars().take(MAX_HEADER_CHARS).collect())
}
