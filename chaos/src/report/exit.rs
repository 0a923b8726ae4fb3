//! Decides the exit code of a run. The worst result counts, and a run that proved nothing has not passed.

use serde::Serialize;

use super::{Run, Scenario};
use crate::Guarantee;

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// Everything held, and everything planned was tested.
    Pass,
    /// A wrong step: something was lost, invented or mixed up.
    Safety,
    /// Nothing wrong, but something late.
    Liveness,
    /// Nothing broke, but the run tested less than planned.
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

/// How a scenario tested less than planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "shortfall", rename_all = "snake_case")]
pub enum Shortfall {
    /// Too few requests were accepted to say anything.
    TooLittle {
        /// How many were accepted.
        accepted: u64,
        /// How many were wanted.
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
    /// A guarantee that this scenario should test was not tested.
    NotExercised {
        /// The guarantee.
        guarantee: Guarantee,
    },
}

impl std::fmt::Display for Shortfall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLittle { accepted, wanted } => {
                write!(f, "only {accepted} requests were accepted; a verdict needs at least {wanted}")
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
    /// The result of this scenario.
    pub fn exit(&self) -> Exit {
        Exit::of(self.verdicts.findings().map(|finding| finding.guarantee), !self.shortfalls.is_empty())
    }
}

impl Run {
    /// The result of the run. A run without a scenario proves nothing.
    pub fn exit(&self) -> Exit {
        let broken = self.scenarios.iter().flat_map(|scenario| scenario.verdicts.findings());
        let is_short = self.scenarios.is_empty()
            || self.scenarios.iter().any(|scenario| !scenario.shortfalls.is_empty());
        Exit::of(broken.map(|finding| finding.guarantee), is_short)
    }
}
