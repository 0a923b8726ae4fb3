//! What a run tells people: one pure value, and three ways to show it. Nothing here runs anything or reads a clock.

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

/// A run, as its report shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// When it began, for people.
    pub began: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What it was drawn from.
    pub seed: u64,
    /// What took part, by name and version: `dynode`, `nats-server`.
    pub versions: Vec<(String, String)>,
    /// The settings under which less is promised, each with what that means.
    pub weaknesses: Vec<Weakness>,
    /// What was tried, in order.
    pub scenarios: Vec<Scenario>,
    /// What could not be tried here.
    pub skipped: Vec<Skipped>,
    /// The command that runs all of it again.
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
    /// What may be lost for it.
    pub means: String,
}

/// What all scenarios together say of one guarantee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Standing {
    /// Tested so often, never broken.
    Held(u64),
    /// Broken so often.
    Broken(usize),
    /// Nothing is known.
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
    /// Where a guarantee stands after all scenarios: one breach outweighs all that held.
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
