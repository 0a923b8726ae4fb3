//! The oracle: reads a history and says for each guarantee whether it was broken, held or never put to the test.
//!
//! Pure: the same history and bounds give the same verdicts. It never asks the engine. Each file beside this one checks
//! one guarantee; all have the same shape.

mod bounds;
mod finding;
pub(crate) mod index;
mod inquiry;
pub(crate) mod latency;
pub(crate) use latency::percentile;

mod budget;
mod callback;
mod clock;
mod drain;
mod egress;
mod invention;
mod isolation;
mod liveness;
mod loss;
mod memory;
mod outcome;
mod rate;
mod refusal;
mod secrets;
mod stall;
mod stream;
mod supervision;
mod tries;

pub use bounds::{Bounds, Rate};
pub use finding::{Finding, Verdict, Verdicts};

use index::Index;
use inquiry::Inquiry;

use crate::Guarantee;
use crate::history::Entry;

/// Looks at the whole history for breaches of one guarantee.
type Checker = fn(&Index<'_>, &Bounds, &mut Inquiry);

/// The checker of each guarantee.
const CHECKERS: [(Guarantee, Checker); 18] = [
    (Guarantee::I1, loss::check),
    (Guarantee::I2, invention::check),
    (Guarantee::I3, outcome::check),
    (Guarantee::I4, tries::check),
    (Guarantee::I5, stream::check),
    (Guarantee::I6, isolation::check),
    (Guarantee::I7, memory::check),
    (Guarantee::I8, refusal::check),
    (Guarantee::I9, rate::check),
    (Guarantee::I10, budget::check),
    (Guarantee::I11, callback::check),
    (Guarantee::I12, stall::check),
    (Guarantee::I13, supervision::check),
    (Guarantee::I14, drain::check),
    (Guarantee::I15, liveness::check),
    (Guarantee::I16, clock::check),
    (Guarantee::I17, egress::check),
    (Guarantee::I18, secrets::check),
];

/// The verdict on every guarantee.
pub fn check(history: &[Entry], bounds: &Bounds) -> Verdicts {
    let index = Index::new(history);
    let verdict = |(guarantee, checker): (Guarantee, Checker)| {
        let mut inquiry = Inquiry::new(guarantee);
        checker(&index, bounds, &mut inquiry);
        (guarantee, inquiry.verdict())
    };
    CHECKERS.into_iter().map(verdict).collect()
}

#[cfg(test)]
mod tests;
