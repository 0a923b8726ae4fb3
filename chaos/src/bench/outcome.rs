//! The result of a whole run, as written to its JSON file and read by a comparison.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    environment::Environment,
    figure::{Figures, Side},
};

/// The version of the file.
pub const FORMAT: u32 = 1;

/// A run of `dynode bench`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The version of the format; [`FORMAT`].
    pub format: u32,
    /// When it started, for people.
    pub began: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The command that repeats the run.
    pub command: String,
    /// Where it took place.
    pub environment: Environment,
    /// What was measured, in order.
    pub scenarios: Vec<Tested>,
    /// What could not be measured, and why.
    pub skipped: Vec<Skipped>,
}

/// A measured scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// Its name.
    pub name: String,
    /// What it measures, in a sentence.
    pub about: String,
    /// The figures for each load.
    pub points: Vec<Point>,
}

/// One scenario under one load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The load, in words: `64 connections`.
    pub load: String,
    /// The figures of each side.
    pub sides: BTreeMap<Side, Figures>,
    /// What a reader must know about these figures: the machine was busy, the system could not keep up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A scenario, or a load of one, that could not be measured here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}
