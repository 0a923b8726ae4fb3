//! The guarantees, numbered once: the README's table, the checkers and the reports all use these numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What Dynode promises. The number is part of the name, everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Guarantee {
    /// No loss.
    I1,
    /// No invention.
    I2,
    /// One outcome.
    I3,
    /// Bounded tries.
    I4,
    /// Streams without a gap.
    I5,
    /// Isolation.
    I6,
    /// Bounded memory.
    I7,
    /// Honest refusal.
    I8,
    /// Rate.
    I9,
    /// Budget.
    I10,
    /// Callbacks.
    I11,
    /// Stalls.
    I12,
    /// Supervision.
    I13,
    /// Drain.
    I14,
    /// Liveness after healing.
    I15,
    /// Clock.
    I16,
    /// Egress.
    I17,
    /// Secrets.
    I18,
}

impl Guarantee {
    /// All of them, in order.
    pub const ALL: [Self; 18] = [
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I6,
        Self::I7,
        Self::I8,
        Self::I9,
        Self::I10,
        Self::I11,
        Self::I12,
        Self::I13,
        Self::I14,
        Self::I15,
        Self::I16,
        Self::I17,
        Self::I18,
    ];

    /// Its short name.
    pub const fn title(self) -> &'static str {
        match self {
            Self::I1 => "no loss",
            Self::I2 => "no invention",
            Self::I3 => "one outcome",
            Self::I4 => "bounded tries",
            Self::I5 => "whole streams",
            Self::I6 => "isolation",
            Self::I7 => "bounded memory",
            Self::I8 => "honest refusal",
            Self::I9 => "rate",
            Self::I10 => "budget",
            Self::I11 => "callback",
            Self::I12 => "stall",
            Self::I13 => "supervision",
            Self::I14 => "drain",
            Self::I15 => "liveness after healing",
            Self::I16 => "clock",
            Self::I17 => "egress",
            Self::I18 => "secrets",
        }
    }

    /// Whether a breach is a lack of progress (not a wrong step): such a run ends with another exit code.
    pub const fn is_liveness(self) -> bool {
        matches!(self, Self::I12 | Self::I13 | Self::I14 | Self::I15)
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "I{}", *self as u8 + 1)
    }
}

#[cfg(test)]
mod tests;
