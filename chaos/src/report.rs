//! Reports a run to people: one pure value, shown in three ways. Nothing here runs anything or reads a clock.

mod exit;
mod faults;
pub(crate) mod html;
mod latency;
mod markdown;
mod picture;
mod scenario;
pub(crate) mod table;
mod tally;
mod terminal;
mod timeline;
pub(crate) mod words;

use serde::Serialize;

pub use exit::{Exit, Shortfall};
pub use faults::Fault;
pub use html::html;
pub use latency::{Latencies, Percentiles};
pub use markdown::markdown;
pub use scenario::{Demands, Scenario};
pub(crate) use table::Table;
pub use tally::Tally;
pub use terminal::terminal;
pub use timeline::{Band, Life, Point, Timeline};
pub(crate) use words::duration;

use crate::Guarantee;
use crate::checker::Verdict;

/// A run, as the report shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// When it started, for people.
    pub began: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The seed that it was drawn from.
    pub seed: u64,
    /// The programs that took part, by name and version: `dynode`, `nats-server`.
    pub versions: Vec<(String, String)>,
    /// The settings that promise less, each with its consequence.
    pub weaknesses: Vec<Weakness>,
    /// The scenarios played, in order.
    pub scenarios: Vec<Scenario>,
    /// The scenarios not playable here.
    pub skipped: Vec<Skipped>,
    /// The command that repeats the run.
    pub replay: String,
}

/// A scenario that cannot be played on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// What is missing.
    pub why: String,
}

/// A setting that weakens a guarantee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Weakness {
    /// The setting, with its value: `sync_interval = 2m`.
    pub setting: String,
    /// What it may lose.
    pub means: String,
}

/// The verdict of all scenarios together on one guarantee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Standing {
    /// Tested this often, never broken.
    Held(u64),
    /// Broken this often.
    Broken(usize),
    /// Not tested.
    NotExercised,
}

impl From<&Verdict> for Standing {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Held { checked } => Self::Held(*checked),
            Verdict::Broken { findings } => Self::Broken(findings.len()),
            Verdict::NotExercised => Self::NotExercised,
        }
    }
}

impl Run {
    /// The standing of a guarantee after all scenarios: one breach outweighs everything that held.
    pub fn standing(&self, guarantee: Guarantee) -> Standing {
        let standings = self.scenarios.iter().map(|scenario| Standing::from(scenario.verdicts.of(guarantee)));
        standings.fold(Standing::NotExercised, |all, one| match (all, one) {
            (Standing::Broken(all), Standing::Broken(one)) => Standing::Broken(all + one),
            (broken @ Standing::Broken(_), _) | (_, broken @ Standing::Broken(_)) => broken,
            (Standing::Held(all), Standing::Held(one)) => Standing::Held(all + one),
            (held @ Standing::Held(_), _) | (_, held) => held,
        })
    }
}

#[cfg(test)]
mod tests;
