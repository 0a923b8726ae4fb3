//! Describes where a run took place: the machine, the versions, and the settings that promise less than is possible. A
//! figure without these says nothing.

use std::{fs, thread};

use serde::{Deserialize, Serialize};

/// Where a run took place.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Facts by name: `cores`, `processor`, `memory`, `kernel`, `dynode`, `nats-server`.
    pub facts: Vec<(String, String)>,
    /// Settings that promise less, each with its consequence.
    pub weakened: Vec<(String, String)>,
    /// What makes the figures worse, or less certain, than necessary.
    pub warnings: Vec<String>,
}

/// If other processes use more cores than this, they disturb the measurement.
pub(super) const DISTURBED_CORES: f64 = 0.25;

impl Environment {
    /// The visible facts about this machine.
    pub(super) fn here() -> Self {
        let mut facts = Vec::new();
        let mut fact = |name: &str, value: Option<String>| {
            facts.push((name.to_owned(), value.unwrap_or_else(|| "unknown".to_owned())));
        };
        fact("cores", thread::available_parallelism().ok().map(|cores| cores.to_string()));
        fact("processor", field("/proc/cpuinfo", "model name"));
        let kib = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok());
        fact("memory", kib.map(|kib: u64| format!("{} MiB", kib / 1_024)));
        fact("kernel", read("/proc/sys/kernel/osrelease"));
        let mut here = Self { facts, ..Self::default() };
        if cfg!(debug_assertions) {
            here.warnings
                .push("this is a debug build: its figures say nothing (cargo build --release)".to_owned());
        }
        let load = read("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
        if let Some(load) = load.filter(|load| *load > 2.0 * DISTURBED_CORES) {
            here.warnings.push(format!("the machine was busy at the beginning: load {load}"));
        }
        if load.is_none() {
            here.warnings.push("there is no /proc here: no CPU, no memory is measured".to_owned());
        }
        here
    }

    /// Adds a fact.
    pub(super) fn know(&mut self, name: &str, value: impl Into<String>) {
        self.facts.push((name.to_owned(), value.into()));
    }

    /// The fact with this name.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// The value after `name:` in a file of such lines.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known() {
        let mut here = Environment::here();
        here.know("dynode", "1");
        assert!(here.fact("cores").unwrap().parse::<usize>().is_ok(), "{here:?}");
        assert_eq!((here.fact("dynode"), here.fact("colour")), (Some("1"), None));
    }
}
