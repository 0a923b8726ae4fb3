//! How a run ends: one rule for its exit code. What is worst counts, and a run that proved nothing has not passed.

use serde::Serialize;

use super::{Run, Scenario};
use crate::Guarantee;

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// Everything held, and everything planned was tried.
    Pass,
    /// A wrong step: something was lost, invented, mixed up.
    Safety,
    /// Nothing wrong, but not in time.
    Liveness,
    /// Nothing broke, but the run did not try what it was to try.
    Harness,
}

impl Exit {
    /// The exit code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Safety => 1,
            Self::Liveness => 2,
            Self::Harness => 3,
        }
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Pass => "passed",
            Self::Safety => "a guarantee is broken",
            Self::Liveness => "not in time",
            Self::Harness => "the run proves too little",
        }
    }

    fn of(broken: impl Iterator<Item = Guarantee>, is_short: bool) -> Self {
        let worst =
            broken.map(|guarantee| if guarantee.is_liveness() { Self::Liveness } else { Self::Safety }).min();
        worst.unwrap_or(if is_short { Self::Harness } else { Self::Pass })
    }
}

/// Where a scenario tried less than it was to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "shortfall", rename_all = "snake_case")]
pub enum Shortfall {
    /// Too few requests were accepted to say anything.
    TooLittle {
        /// So many were.
        accepted: u64,
        /// So many were to be.
        wanted: u64,
    },
    /// A planned fault never struck.
    NeverFired {
        /// Its class.
        fault: String,
    },
    /// The harness itself failed.
    Spoilt {
        /// Why.
        why: String,
    },
    /// Nothing put a guarantee to the test that this scenario is there for.
    NotExercised {
        /// Which.
        guarantee: Guarantee,
    },
}

impl std::fmt::Display for Shortfall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLittle { accepted, wanted } => {
                write!(f, "only {accepted} requests were accepted; {wanted} are the least that says anything")
            }
            Self::NeverFired { fault } => write!(f, "the fault `{fault}` was planned and never struck"),
            Self::Spoilt { why } => write!(f, "the harness failed: {why}"),
            Self::NotExercised { guarantee } => {
                write!(f, "nothing put {guarantee} ({}) to the test", guarantee.title())
            }
        }
    }
}

impl Scenario {
    /// How this scenario ended.
    pub fn exit(&self) -> Exit {
        Exit::of(self.verdicts.findings().map(|finding| finding.guarantee), !self.shortfalls.is_empty())
    }
}

impl Run {
    /// How the run ended. A run without a scenario proves nothing.
    pub fn exit(&self) -> Exit {
        let broken = self.scenarios.iter().flat_map(|scenario| scenario.verdicts.findings());
        let is_short = self.scenarios.is_empty()
            || self.scenarios.iter().any(|scenario| !scenario.shortfalls.is_empty());
        Exit::of(broken.map(|finding| finding.guarantee), is_short)
    }
}
