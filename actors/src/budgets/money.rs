//! Amounts of US dollars as whole numbers, in billionths: the sum of a million calls is exact. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Billionths in a dollar: a token of the cheapest model costs about ten.
const PER_USD: f64 = 1e9;

/// An amount of US dollars, 0 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Money(u64);

impl Money {
    pub(super) const ZERO: Self = Self(0);
    /// The least that a call takes, so that none starts when nothing is left.
    pub(super) const LEAST: Self = Self(1);

    /// This many dollars, rounded up: nothing counts for less than it costs.
    pub(super) fn of_usd(usd: f64) -> Self {
        // The cast turns what is no amount into 0, and what is too much into the maximum.
        Self((usd * PER_USD).ceil() as u64)
    }

    #[cfg(test)]
    pub(super) const fn billionths(count: u64) -> Self {
        Self(count)
    }

    /// In dollars.
    pub(super) fn usd(self) -> f64 {
        self.0 as f64 / PER_USD
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The rest; zero if there is none.
    pub(super) const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// One of `parts` equal parts.
    pub(super) const fn part_of(self, parts: u64) -> Self {
        Self(self.0 / parts)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${:.6}", self.usd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_amount_is_rounded_down_and_none_is_less_than_nothing() {
        assert_eq!(Money::of_usd(25.0), Money(25_000_000_000));
        assert_eq!(Money::of_usd(1e-10), Money(1));
        assert_eq!([Money::of_usd(-1.0), Money::of_usd(f64::NAN)], [Money::ZERO; 2]);
        assert_eq!(Money::of_usd(0.25).minus(Money::of_usd(0.5)), Money::ZERO);
        assert_eq!(Money::of_usd(0.25).to_string(), "$0.250000");
    }
}
