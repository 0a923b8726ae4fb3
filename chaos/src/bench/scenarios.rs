//! All scenarios, by name: one small file per family, all in one grammar.

mod bus;
mod chat;
mod embeddings;
mod growth;
mod long;
mod sockets;
mod streams;

use super::scenario::Scenario;

/// All scenarios, in the order in which they are measured.
pub const ALL: &[&Scenario] = &[
    &chat::CHAT,
    &chat::CHAT_60MS,
    &streams::STREAM,
    &streams::STREAM_10MS,
    &embeddings::EMBEDDINGS,
    &bus::PUBLISH,
    &bus::TENANTS,
    &sockets::SOCKET_CHAT,
    &sockets::SOCKETS,
    &growth::GROWTH,
    &growth::GROWTH_HTTP,
    &growth::GROWTH_TENANTS,
    &growth::GROWTH_TENANTS_HTTP,
    &growth::GROWTH_OUTCOMES,
    &growth::BACKLOG,
    &long::START,
    &long::SOAK,
];

/// The default selection: the main figures, in about a minute.
pub const QUICK: &[&Scenario] =
    &[&chat::QUICK, &chat::QUICK_60MS, &streams::QUICK, &bus::QUICK, &long::START];

/// The scenario of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().copied().find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::bench::scenario::Kind;

    #[test]
    fn names_are_unlike_and_those_of_the_quick_ones_are_of_all() {
        let names: BTreeSet<_> = ALL.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(QUICK.iter().all(|scenario| names.contains(scenario.name)));
        assert!(find("chat").is_some() && find("quick").is_none());
    }

    #[test]
    fn what_the_quick_ones_measure_the_full_ones_measure_alike() {
        let loads = |scenario: &Scenario| match scenario.kind {
            Kind::Calls(cases) => cases.iter().map(ToString::to_string).collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        for quick in QUICK {
            let full = find(quick.name).map(loads).unwrap();
            assert!(loads(quick).iter().all(|load| full.contains(load)), "{}: {full:?}", quick.name);
        }
    }
}
