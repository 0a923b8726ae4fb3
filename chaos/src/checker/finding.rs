//! What a checker found: findings with their proof, and one verdict for each guarantee.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Guarantee;
use crate::history::Key;

/// One breach, with its proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The guarantee that it breaks.
    pub guarantee: Guarantee,
    /// The request that it befell, if it befell one.
    pub request: Option<Key>,
    /// How it breaks the guarantee, in a word or two: `lost_middle`. Each checker lists its own kinds.
    pub kind: &'static str,
    /// What happened, for people.
    pub sentence: String,
    /// The lines of the history that prove it, from 0.
    pub lines: Vec<usize>,
}

/// What a history says about one guarantee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It was put to the test and held.
    Held {
        /// How many things it was tested on: requests, calls, frames.
        checked: u64,
    },
    /// It was broken.
    Broken {
        /// The breaches, at least one.
        findings: Vec<Finding>,
    },
    /// Nothing in the history put it to the test, so nothing is known.
    NotExercised,
}

/// The verdict on each guarantee; none is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdicts(BTreeMap<Guarantee, Verdict>);

impl Verdicts {
    /// The verdict on one guarantee.
    pub fn of(&self, guarantee: Guarantee) -> &Verdict {
        self.0.get(&guarantee).unwrap_or(&Verdict::NotExercised)
    }

    /// All verdicts, in the order of the numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Guarantee, &Verdict)> {
        Guarantee::ALL.into_iter().map(|guarantee| (guarantee, self.of(guarantee)))
    }

    /// All findings, in the order of the numbers.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.iter().flat_map(|(_, verdict)| match verdict {
            Verdict::Broken { findings } => findings.as_slice(),
            Verdict::Held { .. } | Verdict::NotExercised => &[],
        })
    }

    /// Whether nothing was broken.
    pub fn is_clean(&self) -> bool {
        self.findings().next().is_none()
    }
}

impl FromIterator<(Guarantee, Verdict)> for Verdicts {
    fn from_iter<T: IntoIterator<Item = (Guarantee, Verdict)>>(verdicts: T) -> Self {
        Self(verdicts.into_iter().collect())
    }
}
