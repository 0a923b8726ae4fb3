//! What is counted in a scenario. Each request counts once, however often it was sent; only sendings count each time.

use schemas::Status;
use serde::Serialize;

use crate::checker::Verdicts;
use crate::checker::index::{Answer, Call, Index, Request};

/// The numbers of a scenario.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Sendings.
    pub attempted: u64,
    /// Requests that were accepted.
    pub accepted: u64,
    /// Sendings that were refused.
    pub refused: u64,
    /// Sendings of which nothing tells whether they were accepted.
    pub unclear: u64,
    /// Requests that ended with an answer.
    pub succeeded: u64,
    /// Requests that ended with an error.
    pub failed: u64,
    /// Requests that were cancelled.
    pub cancelled: u64,
    /// Requests whose deadline passed.
    pub expired: u64,
    /// Requests of which something was parked.
    pub parked: u64,
    /// Calls that did work anew which an earlier call had done, or begun: what a crash costs.
    pub duplicate_calls: u64,
    /// Requests that were accepted and are gone.
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

    /// The numbers with their names, in the order in which a reader asks for them.
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

/// The calls after one that was answered, or that was left alone in the middle.
fn duplicates(calls: &[&Call<'_>]) -> u64 {
    let spent =
        |call: &&Call<'_>| call.is_answered_well() || call.answer.is_none_or(|answer| answer.caller_gone);
    let first = calls.iter().position(spent);
    first.map_or(0, |first| (calls.len() - first - 1) as u64)
}
