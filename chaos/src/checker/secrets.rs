//! I18: no planted secret turns up where none may be.

use super::{Bounds, Inquiry, index::Index};
use crate::history::Fact;

pub(super) fn check(index: &Index<'_>, _: &Bounds, inquiry: &mut Inquiry) {
    for (at, fact) in index.facts() {
        match fact {
            // A search without planted secrets proves nothing.
            Fact::Searched { canaries, .. } if *canaries > 0 => inquiry.checked(),
            Fact::Leaked { place, line } => {
                inquiry.broken(None, "leak", format!("a secret stands in {place}: {line}"), [at.line]);
            }
            _ => {}
        }
    }
}
