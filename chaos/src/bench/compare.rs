//! Compares two runs: what became worse by more than the tolerance and by more than the rounds differ among themselves.

use std::collections::BTreeMap;

use super::{
    Outcome, Point,
    figure::{Better, Figure, Metric, Side},
};

/// How one figure changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Worse by more than the tolerance, in every round.
    Worse,
    /// The median is worse by more than the tolerance, but the rounds of the runs overlap: it may be chance.
    Unsure,
    /// Within the tolerance.
    Same,
    /// Better by more than the tolerance.
    Improved,
}

/// One figure in both runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The scenario and the load.
    pub name: String,
    /// The metric.
    pub metric: Metric,
    /// The median of the first run.
    pub before: f64,
    /// The median of the second run.
    pub after: f64,
    /// How it changed.
    pub change: Change,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Every figure that both runs have.
    pub lines: Vec<Line>,
    /// Points of the first run that the second lacks.
    pub missing: Vec<String>,
    /// Facts that differ: figures of different machines say nothing about the program.
    pub differences: Vec<String>,
}

/// Facts that must be equal.
const ALIKE: [&str; 6] = ["cores", "processor", "memory", "kernel", "broker", "nats-server"];
/// The metrics to compare: what users notice and pay for.
const COMPARED: [Metric; 13] = [
    Metric::Rate,
    Metric::P50Ms,
    Metric::P99Ms,
    Metric::FirstP50Ms,
    Metric::FirstP99Ms,
    Metric::ChunkRate,
    Metric::ChunkP99Ms,
    Metric::CpuMs,
    Metric::CpuChunkUs,
    Metric::EngineMib,
    Metric::SocketKib,
    Metric::ReadyMs,
    Metric::GrowthKib,
];

/// Compares the engine in two runs; `tolerance` is the share by which a figure may become worse.
#[must_use]
pub fn compare(before: &Outcome, after: &Outcome, tolerance: f64) -> Comparison {
    let after_points = points(after);
    let (mut lines, mut missing) = (Vec::new(), Vec::new());
    for (name, point) in points(before) {
        let Some(later) = after_points.get(&name) else {
            missing.push(name);
            continue;
        };
        lines.extend(pairs(point, later).map(|(metric, before, after)| Line {
            name: name.clone(),
            metric,
            before: before.median,
            after: after.median,
            change: change(metric.better(), before, after, tolerance),
        }));
    }
    let fact = |outcome: &Outcome, name| outcome.environment.fact(name).unwrap_or("unknown").to_owned();
    let differences = ALIKE.into_iter().filter_map(|name| {
        let (one, other) = (fact(before, name), fact(after, name));
        (one != other).then(|| format!("{name}: {one}, then {other}"))
    });
    Comparison { lines, missing, differences: differences.collect() }
}

impl Comparison {
    /// How many figures changed in this way.
    #[must_use]
    pub fn count(&self, change: Change) -> usize {
        self.lines.iter().filter(|line| line.change == change).count()
    }
}

fn points(outcome: &Outcome) -> BTreeMap<String, &Point> {
    let points = outcome.scenarios.iter().flat_map(|tested| {
        tested.points.iter().map(move |point| (format!("{}: {}", tested.name, point.load), point))
    });
    points.collect()
}

fn pairs<'a>(before: &'a Point, after: &'a Point) -> impl Iterator<Item = (Metric, &'a Figure, &'a Figure)> {
    COMPARED.into_iter().filter_map(move |metric| {
        let of = |point: &'a Point| point.sides.get(&Side::Engine)?.metrics.get(&metric);
        Some((metric, of(before)?, of(after)?))
    })
}

fn change(better: Better, before: &Figure, after: &Figure, tolerance: f64) -> Change {
    // Makes less always better.
    let sign = if better == Better::Higher { -1.0 } else { 1.0 };
    let bears = tolerance * before.median.abs();
    let worse_by = sign * (after.median - before.median);
    let worst_before = if sign > 0.0 { before.high } else { -before.low };
    let best_after = if sign > 0.0 { after.low } else { -after.high };
    match worse_by {
        by if by > bears && best_after > worst_before => Change::Worse,
        by if by > bears => Change::Unsure,
        by if by < -bears => Change::Improved,
        _ => Change::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Environment, FORMAT, Tested, figure::Figures};

    fn figure(rounds: &[f64]) -> Figure {
        Figure::of(rounds.to_vec()).unwrap()
    }

    fn outcome(rates: &[f64], load: &str) -> Outcome {
        let metrics = BTreeMap::from([(Metric::Rate, figure(rates))]);
        let figures = Figures { metrics, ..Figures::default() };
        let sides = BTreeMap::from([(Side::Engine, figures)]);
        let points = vec![Point { load: load.into(), sides, notes: vec![] }];
        Outcome {
            format: FORMAT,
            began: String::new(),
            took_ms: 0,
            command: String::new(),
            environment: Environment::default(),
            scenarios: vec![Tested { name: "chat".into(), about: String::new(), points }],
            skipped: vec![],
        }
    }

    #[test]
    fn worse_is_beyond_the_tolerance_and_beyond_the_rounds() {
        let change =
            |better, before: &[f64], after: &[f64]| change(better, &figure(before), &figure(after), 0.1);
        let higher = |before: &[f64], after: &[f64]| change(Better::Higher, before, after);
        assert_eq!(higher(&[100.0, 101.0, 99.0], &[80.0, 81.0, 79.0]), Change::Worse);
        assert_eq!(higher(&[100.0, 120.0, 75.0], &[80.0, 81.0, 79.0]), Change::Unsure);
        assert_eq!(higher(&[100.0], &[95.0]), Change::Same);
        assert_eq!(higher(&[100.0], &[120.0]), Change::Improved);
        let lower = |before: &[f64], after: &[f64]| change(Better::Lower, before, after);
        assert_eq!(lower(&[1.0, 1.1], &[2.0, 2.1]), Change::Worse);
        assert_eq!(lower(&[2.0], &[1.0]), Change::Improved);
        assert_eq!(lower(&[0.0], &[0.0]), Change::Same);
    }

    #[test]
    fn what_is_missing_and_what_differs_is_told() {
        let (mut before, after) = (outcome(&[10.0], "1 at once"), outcome(&[10.0], "64 at once"));
        before.environment.know("cores", "2");
        let comparison = compare(&before, &after, 0.1);
        assert_eq!((comparison.lines.len(), comparison.missing), (0, vec!["chat: 1 at once".to_owned()]));
        assert_eq!(comparison.differences, ["cores: 2, then unknown"]);
        let same = compare(&before, &before, 0.1);
        assert_eq!((same.count(Change::Same), same.count(Change::Worse)), (1, 0));
    }
}
