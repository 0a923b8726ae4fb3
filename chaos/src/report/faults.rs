//! Counts the injected faults, and how often they really struck.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::checker::index::Index;
use crate::history::Fact;

/// One class of faults in a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Its name in the plan.
    pub class: String,
    /// Its targets.
    pub targets: Vec<String>,
    /// How often it was switched on.
    pub injected: u64,
    /// How often it struck.
    pub fired: u64,
}

/// The faults of a history, by class.
pub(super) fn of(index: &Index<'_>) -> Vec<Fault> {
    let mut faults: BTreeMap<&str, Fault> = BTreeMap::new();
    for (_, fact) in index.facts() {
        let (class, target, injected, fired) = match fact {
            Fact::Injected { fault, target } => (fault, Some(target), 1, 0),
            Fact::Fired { fault, times } => (fault, None, 0, *times),
            _ => continue,
        };
        let (targets, none) = (Vec::new(), 0);
        let new = || Fault { class: class.clone(), targets, injected: none, fired: none };
        let fault = faults.entry(class).or_insert_with(new);
        fault.injected += injected;
        fault.fired += fired;
        if let Some(target) = target.filter(|target| !fault.targets.contains(target)) {
            fault.targets.push(target.clone());
        }
    }
    faults.into_values().collect()
}
