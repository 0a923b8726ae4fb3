//! I7: everything bounded stays within its bound whenever it is measured.

use super::{Bounds, Inquiry, index::Index};
use crate::history::Fact;

pub(super) fn check(index: &Index<'_>, bounds: &Bounds, inquiry: &mut Inquiry) {
    for (at, fact) in index.facts() {
        let Fact::Measured { gauge, value, cap } = fact else { continue };
        let Some(cap) = cap.or_else(|| bounds.caps.get(gauge).copied()) else { continue };
        inquiry.checked();
        // NaN proves nothing, so it does not pass for a good value.
        if value.is_nan() || *value > cap {
            inquiry.broken(None, "over_the_cap", format!("{gauge} was {value}; its cap is {cap}"), [at.line]);
        }
    }
}
