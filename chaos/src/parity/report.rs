//! What parity found: one value, shown in three ways. Whether a difference is allowed was decided before; this file
//! only counts and tells it.

mod text;

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

pub use text::{json, markdown, terminal};

use super::{
    allowed::{self, ALLOWED, Allowed},
    case::{Area, Case},
    compare::{Difference, differences},
    handle::Handle,
    measure::Latency,
    play::Played,
    rig::System,
};

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was tested.
    pub system: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The handles that were compared; the first is the reference.
    pub handles: Vec<Handle>,
    /// Each case.
    pub cases: Vec<Judged>,
    /// How long each handle takes.
    pub latencies: Vec<Latency>,
    /// The allowed differences, each with the number of comparisons that met it.
    pub allowed: Vec<(&'static Allowed, usize)>,
}

/// The result of one case.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// Its area.
    pub area: Area,
    /// Its name.
    pub name: String,
    /// Why it was not played, if it was not.
    pub skipped: Option<String>,
    /// What is wrong on the WebSocket itself.
    pub wrong: Option<String>,
    /// The other handles, each compared with the WebSocket.
    pub beside: Vec<Beside>,
    /// How long each handle took, in milliseconds.
    pub took_ms: Vec<(Handle, u64)>,
}

/// One handle compared with the WebSocket.
#[derive(Debug, Serialize)]
pub struct Beside {
    /// Which.
    pub handle: Handle,
    /// The result.
    pub verdict: Verdict,
}

/// The result of a comparison.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing differs.
    Equal,
    /// Only allowed differences: the numbers of their rules.
    Allowed(Vec<usize>),
    /// Differences that are not allowed.
    Differs(Vec<Difference>),
    /// The case has no form on this handle, and why.
    LeftOut(String),
}

impl Judged {
    /// A case that was not played.
    pub(super) fn skipped(case: &Case, why: &str) -> Self {
        Self { skipped: Some(why.to_owned()), ..Self::of(case) }
    }

    /// Begins with what was seen on the WebSocket.
    pub(super) fn begin(case: &Case, first: &Played) -> Self {
        let end = first.seen["end"].as_str().unwrap_or("nothing");
        let wrong = match (end == case.end, fault(&first.seen)) {
            (false, _) => Some(format!("ends `{end}`, expected `{}`: {}", case.end, first.seen)),
            (true, fault) => fault,
        };
        Self { wrong, took_ms: vec![(Handle::ALL[0], milliseconds(first.took))], ..Self::of(case) }
    }

    fn of(case: &Case) -> Self {
        let (area, name) = (case.area, case.name.clone());
        Self { area, name, skipped: None, wrong: None, beside: Vec::new(), took_ms: Vec::new() }
    }

    pub(super) fn leaves_out(&mut self, handle: Handle, why: String) {
        self.beside.push(Beside { handle, verdict: Verdict::LeftOut(why) });
    }

    /// Compares what was seen on `handle` with what was seen first.
    pub(super) fn compares(&mut self, case: &Case, handle: Handle, first: &Played, here: &Played) {
        self.took_ms.push((handle, milliseconds(here.took)));
        let (mut rules, mut rest) = (Vec::new(), Vec::new());
        for difference in differences(&first.seen, &here.seen) {
            match allowed::find(case, handle, &difference) {
                Some(rule) => rules.push(rule),
                None => rest.push(difference),
            }
        }
        rules.sort_unstable();
        rules.dedup();
        let verdict = match (rest.is_empty(), rules.is_empty()) {
            (false, _) => Verdict::Differs(rest),
            (true, false) => Verdict::Allowed(rules),
            (true, true) => Verdict::Equal,
        };
        self.beside.push(Beside { handle, verdict });
    }

    /// Whether everything compared is equal, apart from allowed differences.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        let differs = |beside: &Beside| matches!(beside.verdict, Verdict::Differs(_));
        self.wrong.is_none() && !self.beside.iter().any(differs)
    }

    /// How many comparisons found nothing wrong, and how many were made.
    fn score(&self) -> (usize, usize) {
        let compared = |beside: &&Beside| !matches!(beside.verdict, Verdict::LeftOut(_));
        let all = self.beside.iter().filter(compared).count();
        let differ =
            self.beside.iter().filter(|beside| matches!(beside.verdict, Verdict::Differs(_))).count();
        match self.wrong {
            // If the reference is wrong, nothing was compared with what is right.
            Some(_) => (0, all),
            None => (all - differ, all),
        }
    }
}

impl Report {
    pub(super) fn of(
        system: &System,
        handles: Vec<Handle>,
        cases: Vec<Judged>,
        latencies: Vec<Latency>,
        took: Duration,
    ) -> Self {
        let met = |rule: usize| {
            let besides = cases.iter().flat_map(|case| &case.beside);
            besides
                .filter(|beside| matches!(&beside.verdict, Verdict::Allowed(rules) if rules.contains(&rule)))
                .count()
        };
        let allowed = ALLOWED.iter().enumerate().map(|(rule, allowed)| (allowed, met(rule))).collect();
        let system = match system {
            System::Own { nats_server: Some(_), .. } => "an engine of its own, on a nats-server".to_owned(),
            System::Own { nats_server: None, .. } => {
                "an engine of its own with the broker inside: no nats-server was found, the bus is left out"
                    .to_owned()
            }
            System::Given { gateway, nats, .. } => {
                let bus = if nats.is_some() { "" } else { ", without its bus (--nats)" };
                format!("http://{gateway}{bus}")
            }
        };
        Self { system, took_ms: milliseconds(took), handles, cases, latencies, allowed }
    }

    /// Whether everything is equal, and there was something to compare.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.cases.iter().all(Judged::is_equal) && self.cases.iter().any(|case| !case.beside.is_empty())
    }

    /// Each area: how many cases, how many equal comparisons, how many comparisons.
    fn areas(&self) -> Vec<(Area, usize, usize, usize)> {
        let mut areas: Vec<(Area, usize, usize, usize)> = Vec::new();
        for case in self.cases.iter().filter(|case| case.skipped.is_none()) {
            let (equal, all) = case.score();
            match areas.last_mut().filter(|(area, ..)| *area == case.area) {
                Some((_, cases, equals, alls)) => {
                    (*cases, *equals, *alls) = (*cases + 1, *equals + equal, *alls + all)
                }
                None => areas.push((case.area, 1, equal, all)),
            }
        }
        areas
    }

    /// Why each handle was left out, and of how many comparisons, the most first.
    fn left_out(&self) -> Vec<(Handle, &str, usize)> {
        let mut reasons: Vec<(Handle, &str, usize)> = Vec::new();
        for beside in self.cases.iter().flat_map(|case| &case.beside) {
            let Verdict::LeftOut(why) = &beside.verdict else { continue };
            match reasons.iter_mut().find(|(handle, told, _)| (*handle, *told) == (beside.handle, why)) {
                Some((.., times)) => *times += 1,
                None => reasons.push((beside.handle, why, 1)),
            }
        }
        reasons.sort_by_key(|(_, _, times)| std::cmp::Reverse(*times));
        reasons
    }
}

/// A handle's breach of its own protocol, however deep in what was seen.
fn fault(seen: &Value) -> Option<String> {
    match seen {
        Value::Object(fields) => fields.iter().find_map(|(name, field)| match (name.as_str(), field) {
            ("faults", Value::Array(faults)) => faults.first().map(ToString::to_string),
            _ => fault(field),
        }),
        Value::Array(items) => items.iter().find_map(fault),
        _ => None,
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
