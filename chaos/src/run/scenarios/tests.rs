//! The table: nothing in it may be a word that nobody understands.

use std::collections::BTreeSet;

use super::*;
use crate::{provider::Behaviour, proxy::Faults, receiver::Replies, run::scenario::Fault};

#[test]
fn names_are_unlike_and_every_scenario_does_something() {
    let names: BTreeSet<_> = ALL.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), ALL.len());
    for scenario in ALL {
        assert!(!scenario.steps.is_empty() && !scenario.aims.is_empty(), "{}", scenario.name);
        assert_eq!(find(scenario.name).unwrap().about, scenario.about);
    }
}

#[test]
fn every_fault_is_one_that_its_victim_knows() {
    for step in ALL.iter().flat_map(|scenario| scenario.steps) {
        let known = match step.fault {
            Fault::Link(_, words) => words.parse::<Faults>().map(drop).map_err(|error| error.to_string()),
            Fault::Provider(words) => words.parse::<Behaviour>().map(drop).map_err(|error| error.to_string()),
            Fault::Receiver(words) => words.parse::<Replies>().map(drop).map_err(|error| error.to_string()),
            _ => Ok(()),
        };
        assert_eq!(known, Ok(()));
    }
}

#[test]
fn steps_are_in_order_and_end_before_the_load_does() {
    for scenario in ALL {
        assert!(scenario.steps.is_sorted_by_key(|step| step.at_ms), "{}", scenario.name);
        let last = scenario.steps.iter().map(|step| step.at_ms + step.lasts_ms).max().unwrap();
        assert!(last <= scenario.fault_seconds * 1_000, "{}", scenario.name);
    }
}
