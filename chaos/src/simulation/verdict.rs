//! What follows from the history of a run: the verdict of the checkers, with the bounds of the simulated settings.

use super::{
    Run, SETTLE_MS, Scenario,
    provider::NAMES,
    settings::{ATTEMPTS_MAX, CALL_MS, DRAIN_MS, RETRIES},
};
use crate::{
    Guarantee,
    checker::{self, Bounds, Finding, Verdicts},
};

/// Whatever struck, a request ends this much later than its deadline: a strike, a lease, and the deliveries after them.
const RECOVERY_MS: u64 = 60_000;
/// The longest strike, a lease and a delivery: how long a request may stand still after its call was given up.
const REDELIVERY_MS: u64 = 60_000;
/// While the broker answers late, so does a door.
const REFUSAL_MS: u64 = 30_000;
/// Handing back, which follows a drain.
const HAND_BACK_MS: u64 = 5_000;

/// How a run is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judgement {
    /// Nothing was broken.
    Passed,
    /// Something did not come to its end in time.
    Liveness,
    /// Something wrong was done.
    Safety,
}

/// The verdicts on `run`.
pub fn check(scenario: &Scenario, run: &Run) -> Verdicts {
    checker::check(&run.history, &bounds(scenario))
}

/// What the verdicts come to.
pub fn judge(verdicts: &Verdicts) -> Judgement {
    let of = |finding: &Finding| {
        if finding.guarantee.is_liveness() { Judgement::Liveness } else { Judgement::Safety }
    };
    verdicts.findings().map(of).max().unwrap_or(Judgement::Passed)
}

/// The first breach, as it is told in a line: also what a shrunk scenario must still show.
pub fn symptom(verdicts: &Verdicts) -> Option<(Guarantee, &'static str)> {
    verdicts.findings().map(|finding| (finding.guarantee, finding.kind)).next()
}

fn bounds(scenario: &Scenario) -> Bounds {
    Bounds {
        recovery_ms: RECOVERY_MS,
        attempts_max: u64::from(ATTEMPTS_MAX),
        retries: u64::from(RETRIES),
        providers: NAMES.len() as u64,
        refusal_ms: REFUSAL_MS,
        silence_ms: CALL_MS,
        redelivery_ms: REDELIVERY_MS,
        // Here the nemesis brings back what it has killed.
        supervised: Vec::new(),
        drain_ms: DRAIN_MS + HAND_BACK_MS,
        settle_ms: scenario.workload.deadline_max_ms() + SETTLE_MS,
        skew_ms: 50,
        ..Bounds::default()
    }
}
