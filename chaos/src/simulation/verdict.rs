//! Judges the history of a run: the checkers' verdicts, with the bounds of the simulated settings.

use std::collections::BTreeMap;

use super::{
    Fault, Run, SETTLE_MS, Scenario,
    plan::{Mood, Node, Upset},
    power::Lost,
    provider::{CHAT, EMBED, NAMES},
    settings::{DRAIN_MS, RETRIES, SILENCE_MS},
};
use crate::{
    Guarantee,
    checker::{self, Bounds, Finding, Rate, Verdict, Verdicts},
};

/// Whatever struck, a request ends at most this much later than its deadline: a strike, a lease, and later deliveries.
const RECOVERY_MS: u64 = 60_000;
/// The longest pause of a slow reader, and a moment.
const PUNCTUAL_MS: u64 = 4_000;
/// A cancel goes to the broker and from there to the worker.
const CANCEL_HEARD_MS: u64 = 1_000;
/// The longest strike, a lease and a delivery: how long a request may stand still after its call was given up.
const REDELIVERY_MS: u64 = 60_000;
/// While the broker answers late, so does a door.
const REFUSAL_MS: u64 = 30_000;
/// How long handing work back may take, which follows a drain.
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
    let verdicts = checker::check(&run.history, &bounds(scenario));
    let lost = Lost::of(&run.history);
    let excused = |finding: &Finding| is_excused(scenario, finding) || lost.excuses(finding);
    verdicts.iter().map(|(guarantee, verdict)| (guarantee, without(verdict.clone(), excused))).collect()
}

/// The same verdict without findings that the history alone cannot hold against the engine.
fn without(verdict: Verdict, is_excused: impl Fn(&Finding) -> bool) -> Verdict {
    let Verdict::Broken { mut findings } = verdict else { return verdict };
    let checked = findings.len() as u64;
    findings.retain(|finding| !is_excused(finding));
    if findings.is_empty() { Verdict::Held { checked } } else { Verdict::Broken { findings } }
}

fn is_excused(scenario: &Scenario, finding: &Finding) -> bool {
    let has = |wanted: fn(&Fault) -> bool| scenario.plan.strikes.iter().any(|strike| wanted(&strike.fault));
    match (finding.guarantee, finding.kind) {
        // An engine that is cut off from the broker cannot tell the others what a provider asked of it.
        (Guarantee::I9, "before_retry_after") => has(cuts_off_engines),
        // If the broker could not store what was told, a repeat is not recognised, and both are attempt 1.
        (Guarantee::I5, "repeat" | "other_text") => {
            has(|fault| matches!(fault, Fault::Upset { upset: Upset::Disable, kind } if kind == "evt"))
        }
        // The broker had not synced what engines leased of the limit, so it is leased again.
        (Guarantee::I9, "over_the_rate") => {
            scenario.setup.sync_interval_ms.is_some()
                && has(|fault| matches!(fault, Fault::Upset { upset: Upset::PowerFailure, .. }))
        }
        // From outside, a worker that died by itself looks like one whose engine was drained.
        (Guarantee::I14, "charged") => {
            has(|fault| matches!(fault, Fault::Provider { mood: Mood::Kills, .. }))
        }
        _ => false,
    }
}

/// Whether `fault` keeps what an engine says from the broker.
const fn cuts_off_engines(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::LinkDown
            | Fault::NodeCut { node: Node::Engine(_) }
            | Fault::Upset {
                upset: Upset::Restart | Upset::PowerFailure | Upset::Freeze | Upset::Disable,
                ..
            }
    )
}

/// The limit holds for all engines together, and across the ends of engines.
fn rates(scenario: &Scenario) -> BTreeMap<String, Rate> {
    let Some(limit) = scenario.setup.requests_per_minute else { return BTreeMap::new() };
    let rate = Rate { calls: limit as usize, window_ms: 60_000 };
    let models = NAMES.into_iter().flat_map(|name| [CHAT, EMBED].map(|model| format!("{name}/{model}")));
    models.map(|model| (model, rate)).collect()
}

/// The judgement that follows from the verdicts.
pub fn judge(verdicts: &Verdicts) -> Judgement {
    let of = |finding: &Finding| {
        if finding.guarantee.is_liveness() { Judgement::Liveness } else { Judgement::Safety }
    };
    verdicts.findings().map(of).max().unwrap_or(Judgement::Passed)
}

/// The first breach, as one line tells it: a shrunk scenario must still show it.
pub fn symptom(verdicts: &Verdicts) -> Option<(Guarantee, &'static str)> {
    verdicts.findings().map(|finding| (finding.guarantee, finding.kind)).next()
}

fn bounds(scenario: &Scenario) -> Bounds {
    Bounds {
        recovery_ms: RECOVERY_MS,
        slots: Some(scenario.setup.concurrency as usize),
        queued_max: Some(scenario.setup.queued_max),
        attempts_max: scenario.setup.attempts_max.into(),
        attempts_calm: Some(1),
        punctual_ms: Some(PUNCTUAL_MS),
        cancel_heard_ms: Some(CANCEL_HEARD_MS),
        retries: u64::from(RETRIES),
        rates: rates(scenario),
        refusal_ms: REFUSAL_MS,
        silence_ms: SILENCE_MS,
        redelivery_ms: REDELIVERY_MS,
        // Here the nemesis brings back what it killed.
        supervised: Vec::new(),
        drain_ms: DRAIN_MS + HAND_BACK_MS,
        settle_ms: scenario.workload.deadline_max_ms() + SETTLE_MS,
        skew_ms: 50,
        ..Bounds::default()
    }
}
