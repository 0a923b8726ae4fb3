//! Judges one scenario of a run from its history.

use serde::Serialize;

use super::{Fault, Latencies, Shortfall, Tally, Timeline, faults};
use crate::Guarantee;
use crate::checker::{self, Bounds, Verdict, Verdicts, index::Index};
use crate::history::Entry;

/// What a scenario must achieve; with less, its run proves too little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demands {
    /// The fewest requests that must have been accepted.
    pub accepted_min: u64,
    /// The faults that must have struck, besides those injected according to the history.
    pub faults: Vec<String>,
    /// The guarantees that it tests.
    pub exercises: Vec<Guarantee>,
}

/// One scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: String,
    /// What it does, in a sentence.
    pub about: String,
    /// Its counts.
    pub tally: Tally,
    /// The injected faults.
    pub faults: Vec<Fault>,
    /// How long requests took.
    pub latencies: Latencies,
    /// The verdicts of the checkers.
    pub verdicts: Verdicts,
    /// Where it tested too little.
    pub shortfalls: Vec<Shortfall>,
    /// The data of the picture.
    pub timeline: Timeline,
}

impl Scenario {
    /// Reads a history.
    pub fn of(name: &str, about: &str, history: &[Entry], bounds: &Bounds, demands: &Demands) -> Self {
        let index = Index::new(history);
        let verdicts = checker::check(history, bounds);
        let tally = Tally::of(&index, &verdicts);
        let faults = faults::of(&index);
        let shortfalls = shortfalls(demands, &tally, &faults, &verdicts);
        Self {
            name: name.to_owned(),
            about: about.to_owned(),
            latencies: Latencies::of(&index, bounds),
            timeline: Timeline::of(&index),
            tally,
            faults,
            verdicts,
            shortfalls,
        }
    }

    /// The same scenario, after a failure of the harness.
    #[must_use]
    pub fn spoilt(mut self, why: String) -> Self {
        self.shortfalls.push(Shortfall::Spoilt { why });
        self
    }
}

fn shortfalls(demands: &Demands, tally: &Tally, faults: &[Fault], verdicts: &Verdicts) -> Vec<Shortfall> {
    let mut shortfalls = Vec::new();
    if tally.accepted < demands.accepted_min {
        shortfalls.push(Shortfall::TooLittle { accepted: tally.accepted, wanted: demands.accepted_min });
    }
    let fired = |class: &str| faults.iter().any(|fault| fault.class == class && fault.fired > 0);
    let mut planned: Vec<_> = faults.iter().map(|fault| &fault.class).chain(&demands.faults).collect();
    planned.sort_unstable();
    planned.dedup();
    let silent = planned.into_iter().filter(|class| !fired(class));
    shortfalls.extend(silent.map(|fault| Shortfall::NeverFired { fault: fault.clone() }));
    let untested = demands.exercises.iter().filter(|wanted| *verdicts.of(**wanted) == Verdict::NotExercised);
    shortfalls.extend(untested.map(|guarantee| Shortfall::NotExercised { guarantee: *guarantee }));
    shortfalls
}
