//! A history over time: phases, load, faults, latencies, lives of processes. It is the data of the picture, without any
//! drawing.

use std::collections::BTreeMap;

use schemas::Status;
use serde::Serialize;

use crate::checker::index::Index;
use crate::history::{Fact, Phase};

/// How many steps the load is counted in: a few pixels each.
const STEPS: usize = 120;

/// A scenario over time. All times are in milliseconds from its start.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// When it ended; more than 0.
    pub over_ms: u64,
    /// The phases and their starts.
    pub phases: Vec<(Phase, u64)>,
    /// The length of one step of the load.
    pub step_ms: u64,
    /// Requests sent in each step.
    pub sent: Vec<u32>,
    /// Faults, each from its start until it healed.
    pub faults: Vec<Band>,
    /// Requests that ended, by the time of their end.
    pub points: Vec<Point>,
    /// The lives of processes, by role.
    pub processes: BTreeMap<String, Vec<Life>>,
}

/// A fault while it lasted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Band {
    /// Its class.
    pub class: String,
    /// What it hit.
    pub target: String,
    /// Its start.
    pub from_ms: u64,
    /// Its end.
    pub until_ms: u64,
}

/// A request that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Point {
    /// When it ended.
    pub at_ms: u64,
    /// How long it had taken.
    pub took_ms: u64,
    /// How it ended.
    pub status: Status,
}

/// One process from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Life {
    /// When it started.
    pub from_ms: u64,
    /// When it ended, and how.
    pub ended: Option<(u64, String)>,
}

impl Timeline {
    pub(super) fn of(index: &Index<'_>) -> Self {
        let over_ms = index.over_ms().max(1);
        let step_ms = over_ms.div_ceil(STEPS as u64);
        let mut timeline = Self {
            over_ms,
            phases: Vec::new(),
            step_ms,
            sent: vec![0; STEPS],
            faults: faults(index, over_ms),
            points: points(index),
            processes: BTreeMap::new(),
        };
        for (at, fact) in index.facts() {
            timeline.add(at.ms, fact);
        }
        for process in &index.processes {
            let ended = process.ended.map(|(at, how)| (at.ms, how.to_owned()));
            let life = Life { from_ms: process.begun.ms, ended };
            timeline.processes.entry(process.role.to_owned()).or_default().push(life);
        }
        timeline
    }

    fn add(&mut self, at_ms: u64, fact: &Fact) {
        match fact {
            Fact::Sent { .. } => {
                if let Some(step) = self.sent.get_mut((at_ms / self.step_ms) as usize) {
                    *step += 1;
                }
            }
            Fact::Phase { phase } => self.phases.push((*phase, at_ms)),
            _ => {}
        }
    }
}

fn faults(index: &Index<'_>, over_ms: u64) -> Vec<Band> {
    let band = |fault: &crate::checker::index::Fault<'_>| Band {
        class: fault.class.to_owned(),
        target: fault.target.to_owned(),
        from_ms: fault.from.ms,
        until_ms: fault.until_ms.unwrap_or(over_ms).max(fault.from.ms),
    };
    index.faults.iter().map(band).collect()
}

fn points(index: &Index<'_>) -> Vec<Point> {
    let point = |request: &crate::checker::index::Request<'_>| {
        let (send, _) = request.accepted_send()?;
        let (at, status, _) = request.ends().into_iter().next()?;
        Some(Point { at_ms: at.ms, took_ms: at.ms.saturating_sub(send.at.ms), status })
    };
    let mut points: Vec<_> = index.requests.values().filter_map(point).collect();
    points.sort_by_key(|point| (point.at_ms, point.took_ms));
    points
}
