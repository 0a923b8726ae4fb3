//! Runs many seeds, one after the other on each of several threads, and sums up what they came to and put to the test.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use parking_lot::Mutex;

use super::{
    NO_LOG, Scenario, run,
    shrink::{Shrunk, shrink},
    verdict::{self, Judgement},
};
use crate::{
    Guarantee,
    checker::Finding,
    history::{Entry, Fact},
};

/// A class of faults that was planned this often must have made a difference, or the plans miss their aim.
const PLANNED_MIN: u64 = 25;
/// The fewest requests that a run must accept on average; fewer put nothing to the test.
const ACCEPTED_MIN: u64 = 3;
/// The most runs to shrink one failure.
const SHRINK_RUNS_MAX: u32 = 250;
/// How many of the last lines of a failure's history are shown.
const LAST_LINES: usize = 25;

/// The results of many seeds.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many seeds ran.
    pub seeds: u64,
    /// How often each class of faults was planned, and how often it made a difference.
    pub faults: BTreeMap<String, (u64, u64)>,
    /// How often each kind of fact was written down: `sent`, `accepted`, `called`.
    pub facts: BTreeMap<String, u64>,
    /// Virtual time, in milliseconds.
    pub virtual_ms: u64,
    /// Seeds that failed, in their order.
    pub failures: Vec<Failure>,
    /// Seeds that could not be run, with the reason.
    pub broken: Vec<(u64, String)>,
}

/// A seed that failed.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The judgement on it.
    pub judgement: Judgement,
    /// Every breach.
    pub findings: Vec<Finding>,
}

/// A failure, made small.
#[derive(Debug)]
pub struct Case {
    /// What is broken, and how.
    pub symptom: (Guarantee, &'static str),
    /// The smallest scenario found, and its cost.
    pub shrunk: Shrunk,
    /// Its breaches.
    pub findings: Vec<Finding>,
    /// Its last lines.
    pub last: Vec<Entry>,
}

/// Runs `seeds` on `threads`; tells `done` how many are over, and how many of them failed.
pub fn run_seeds(seeds: &[u64], threads: usize, done: impl Fn(usize, usize) + Sync) -> Summary {
    let (next, over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let summary = Mutex::new(Summary::default());
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let scenario = Scenario::draw(seed);
                    let result = run(scenario.clone(), NO_LOG);
                    let mut summary = summary.lock();
                    match result {
                        Ok(run) => summary.add(&scenario, &run),
                        Err(error) => summary.broken.push((seed, error.to_string())),
                    }
                    let failed = summary.failures.len() + summary.broken.len();
                    done(over.fetch_add(1, Ordering::Relaxed) + 1, failed);
                }
            });
        }
    });
    let mut summary = summary.into_inner();
    summary.failures.sort_by_key(|failure| failure.seed);
    summary.broken.sort();
    summary
}

/// Examines one scenario: `None` if it passes. With `small`, shrinks it first.
pub fn examine(scenario: Scenario, small: bool) -> Result<Option<Case>, super::Broken> {
    let verdicts = verdict::check(&scenario, &run(scenario.clone(), NO_LOG)?);
    let Some(symptom) = verdict::symptom(&verdicts) else { return Ok(None) };
    let fails = |smaller: &Scenario| {
        run(smaller.clone(), NO_LOG).is_ok_and(|run| {
            let verdicts = verdict::check(smaller, &run);
            verdicts.findings().any(|finding| (finding.guarantee, finding.kind) == symptom)
        })
    };
    let shrunk = shrink(scenario, if small { SHRINK_RUNS_MAX } else { 0 }, fails);
    let run = run(shrunk.scenario.clone(), NO_LOG)?;
    let findings = verdict::check(&shrunk.scenario, &run).findings().cloned().collect();
    let last = run.history[run.history.len().saturating_sub(LAST_LINES)..].to_vec();
    Ok(Some(Case { symptom, shrunk, findings, last }))
}

impl Summary {
    fn add(&mut self, scenario: &Scenario, run: &super::Run) {
        self.seeds += 1;
        self.virtual_ms += run.history.last().map_or(0, |entry| entry.at_ms);
        for strike in &scenario.plan.strikes {
            self.faults.entry(strike.fault.class()).or_default().0 += 1;
        }
        for (class, times) in &run.fired {
            self.faults.entry(class.clone()).or_default().1 += times;
        }
        for entry in &run.history {
            *self.facts.entry(name(&entry.fact)).or_default() += 1;
        }
        let verdicts = verdict::check(scenario, run);
        let judgement = verdict::judge(&verdicts);
        if judgement != Judgement::Passed {
            let findings = verdicts.findings().cloned().collect();
            self.failures.push(Failure { seed: scenario.seed, judgement, findings });
        }
    }

    /// Why these runs prove nothing, if they do not.
    pub fn shortcomings(&self) -> Vec<String> {
        let accepted = self.facts.get("accepted").copied().unwrap_or_default();
        let mut reasons = Vec::new();
        if accepted < ACCEPTED_MIN * self.seeds {
            reasons.push(format!("only {accepted} requests were accepted in {} runs", self.seeds));
        }
        for (class, (planned, fired)) in &self.faults {
            if *planned >= PLANNED_MIN && *fired == 0 {
                reasons.push(format!("`{class}` was planned {planned} times and never made a difference"));
            }
        }
        reasons
    }

    /// The judgement on all of it.
    pub fn judgement(&self) -> Judgement {
        self.failures.iter().map(|failure| failure.judgement).max().unwrap_or(Judgement::Passed)
    }
}

/// The name of a fact, as it is written.
fn name(fact: &Fact) -> String {
    let value = serde_json::to_value(fact).unwrap_or_default();
    value["fact"].as_str().unwrap_or_default().to_owned()
}
