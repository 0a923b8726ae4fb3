//! The spending and reserves of one budget in one period: kept in the broker, changed by compare-and-swap. Pure.
//!
//! Each engine has its own line and rewrites all of it each time, so that a write with an unknown result may be
//! repeated. The line of an engine that is gone is closed: what it had reserved counts as spent, since nobody can tell
//! what its last calls cost. Time alone never frees what is reserved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::money::Money;

/// An engine that has not written for this long may count as gone; it must not assume that its line is still there.
pub(super) const LAPSE_MS: i64 = 15 * 60 * 1_000;

/// The book of one budget in one period.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Book {
    /// The total of closed lines.
    closed: Money,
    /// By the name of their engine.
    lines: BTreeMap<String, Line>,
}

/// One engine's part of the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    /// By calls that have ended.
    pub(super) spent: Money,
    /// For calls that run, and for the next ones.
    pub(super) reserved: Money,
    /// When it was written, by the broker's clock, in milliseconds.
    pub(super) at_ms: i64,
}

impl Line {
    pub(super) const fn total(&self) -> Money {
        self.spent.plus(self.reserved)
    }
}

impl Book {
    pub(super) fn has(&self, holder: &str) -> bool {
        self.lines.contains_key(holder)
    }

    pub(super) fn write(&mut self, holder: &str, line: Line) {
        self.lines.insert(holder.to_owned(), line);
    }

    /// All that is spent.
    pub(super) fn spent(&self) -> Money {
        self.lines.values().fold(self.closed, |sum, line| sum.plus(line.spent))
    }

    /// All that is spent or reserved.
    pub(super) fn total(&self) -> Money {
        self.lines.values().fold(self.closed, |sum, line| sum.plus(line.total()))
    }

    /// Closes the lines of engines that are gone, after twice the time at which these expect it, since clocks differ.
    pub(super) fn close_lapsed(&mut self, now_ms: i64) {
        let closed = &mut self.closed;
        self.lines.retain(|_, line| {
            let lives = now_ms.saturating_sub(line.at_ms) <= 2 * LAPSE_MS;
            if !lives {
                *closed = closed.plus(line.total());
            }
            lives
        });
    }
}
