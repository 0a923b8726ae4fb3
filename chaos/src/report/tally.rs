//! Counts a scenario's requests: each once, however often it was sent; only sends are counted every time.

use schemas::Status;
use serde::Serialize;

use crate::checker::Verdicts;
use crate::checker::index::{Answer, Call, Index, Request};

/// The counts of a scenario.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How often requests were sent.
    pub attempted: u64,
    /// Requests that were accepted.
    pub accepted: u64,
    /// Sends that were refused.
    pub refused: u64,
    /// Sends whose acceptance is unknown.
    pub unclear: u64,
    /// Requests that ended with an answer.
    pub succeeded: u64,
    /// Requests that ended with an error.
    pub failed: u64,
    /// Requests that were cancelled.
    pub cancelled: u64,
    /// Requests whose deadline passed.
    pub expired: u64,
    /// Requests with something parked.
    pub parked: u64,
    /// Calls that repeated work that an earlier call had done or begun: the price of a crash.
    pub duplicate_calls: u64,
    /// Accepted requests that are gone.
    pub lost: u64,
}

impl Tally {
    pub(super) fn of(index: &Index<'_>, verdicts: &Verdicts) -> Self {
        let mut tally = Self::default();
        for request in index.requests.values() {
            tally.add(request);
            let calls: Vec<_> = index.calls_of(request).collect();
            tally.duplicate_calls += duplicates(&calls);
        }
        tally.lost = verdicts.findings().filter(|finding| finding.kind.starts_with("lost_")).count() as u64;
        tally
    }

    fn add(&mut self, request: &Request<'_>) {
        self.attempted += request.sends.len() as u64;
        self.accepted += u64::from(request.accepted().is_some());
        self.parked += u64::from(!request.parked.is_empty());
        for send in &request.sends {
            match send.answer {
                Some((_, Answer::Refused { .. })) => self.refused += 1,
                Some((_, Answer::Unclear)) | None => self.unclear += 1,
                Some((_, Answer::Accepted)) => {}
            }
        }
        let recorded = request.recorded.first().map(|record| record.status);
        match recorded.or_else(|| request.ends().first().map(|(_, status, _)| *status)) {
            Some(Status::Succeeded) => self.succeeded += 1,
            Some(Status::Failed) => self.failed += 1,
            Some(Status::Cancelled) => self.cancelled += 1,
            Some(Status::Expired) => self.expired += 1,
            None => {}
        }
    }

    /// The counts with their names, in the order in which a reader looks for them.
    pub fn columns(&self) -> [(&'static str, u64); 11] {
        [
            ("attempted", self.attempted),
            ("accepted", self.accepted),
            ("refused", self.refused),
            ("unclear", self.unclear),
            ("succeeded", self.succeeded),
            ("failed", self.failed),
            ("cancelled", self.cancelled),
            ("expired", self.expired),
            ("parked", self.parked),
            ("dup calls", self.duplicate_calls),
            ("lost", self.lost),
        ]
    }
}

/// How many calls follow the first one that was answered, or left halfway by its caller.
fn duplicates(calls: &[&Call<'_>]) -> u64 {
    let spent =
        |call: &&Call<'_>| call.is_answered_well() || call.answer.is_none_or(|answer| answer.caller_gone);
    let first = calls.iter().position(spent);
    first.map_or(0, |first| (calls.len() - first - 1) as u64)
}
