//! I17: the engine goes to no denied address, whoever asks for it.

use super::{Bounds, Inquiry, index::Index};
use crate::history::Fact;

pub(super) fn check(index: &Index<'_>, _: &Bounds, inquiry: &mut Inquiry) {
    for (at, fact) in index.facts() {
        match fact {
            Fact::Lured { .. } => inquiry.checked(),
            Fact::Trespassed { address } => {
                let lured = index.facts().take(at.line).find_map(|(lured, fact)| match fact {
                    Fact::Lured { request, address: to } if to == address => Some((lured, request)),
                    _ => None,
                });
                let sentence = format!("the engine came to {address}");
                let lines = lured.map(|(at, _)| at.line).into_iter().chain([at.line]);
                inquiry.broken(lured.map(|(_, request)| request), "trespass", sentence, lines);
            }
            _ => {}
        }
    }
}
