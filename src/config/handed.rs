//! The settings as a worker process gets them: resolved once, by its parent, and handed down, so that all processes work
//! by the same ones even when the file has been edited since.

use std::{collections::BTreeSet, fmt};

use actors::EngineConfig;
use schemas::Secret;
use toml::{Table, Value};
use tracing::warn;

use super::{Config, Loaded};

/// Every setting as it was read. Holds secrets, so it is never shown.
#[derive(Clone)]
pub(crate) struct Resolved(pub(super) Table);

impl Resolved {
    /// The same as one line, for a process that finds the broker at `broker`.
    pub(crate) fn handed_down(mut self, broker: &str) -> serde_json::Result<Secret> {
        self.0.insert("broker".to_owned(), Value::String(broker.to_owned()));
        // JSON has no line breaks of its own; TOML has.
        serde_json::to_string(&self.0).map(|line| Secret::new(line + "\n"))
    }

    /// The keys at the top whose settings differ from those of `other`.
    pub(crate) fn changed_from(&self, other: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        keys.into_iter().filter(|key| self.0.get(*key) != other.0.get(*key)).cloned().collect()
    }
}

impl Loaded {
    /// Leaves as they were at the start the settings of `[engine]` that must not change under running work: the broker's
    /// consumers hold the lease, and whoever ends a process knows how long it drains. Those that differ are told.
    pub(crate) fn hold(&mut self, start: &EngineConfig) {
        let engine = &mut self.config.engine;
        let held = [
            ("lease_ms", &mut engine.lease_ms, start.lease_ms),
            ("drain_ms", &mut engine.drain_ms, start.drain_ms),
        ];
        for (key, setting, value) in held {
            if *setting == value {
                continue;
            }
            warn!(setting = format!("engine.{key}"), "changed, but in effect only from the next start on");
            *setting = value;
            if let (Some(Value::Table(table)), Ok(value)) =
                (self.resolved.0.get_mut("engine"), i64::try_from(value))
            {
                table.insert(key.to_owned(), Value::Integer(value));
            }
        }
    }
}

impl Config {
    /// The settings of such a line. The message of an error is left out, since it may hold a secret.
    pub(crate) fn from_parent(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Sources;

    use super::*;

    #[test]
    fn a_worker_works_by_the_settings_of_its_parent_but_for_the_broker_and_shows_none() {
        let variables = [
            ("DYNODE_PREFIX", "42"),
            ("DYNODE_ENGINE__LEASE_MS", "5000"),
            ("DYNODE_PROVIDERS__SIM__MODELS__SIM_CHAT__TOKENS_PER_SECOND", "12.5"),
            ("DYNODE_CALLBACKS__DEFAULT_SECRET", "whsec_Y2FuYXJ5"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let flags = vec![("--workers", "workers", "2".to_owned())];
        let loaded = Sources { file: None, variables, flags }.load().unwrap();
        assert_eq!(loaded.config.workers, 2, "a flag is read as its key wants");
        assert!(!format!("{loaded:?}").contains("Y2FuYXJ5"), "{loaded:?}");

        let line = loaded.resolved.handed_down("nats://127.0.0.1:4222").unwrap();
        assert_eq!(line.expose().lines().count(), 1);
        let handed = Config::from_parent(line.expose()).unwrap();
        let broker = "nats://127.0.0.1:4222".parse().unwrap();
        assert_eq!(format!("{handed:?}"), format!("{:?}", Config { broker, ..loaded.config }));
        assert!(Config::from_parent("").is_none());
    }

    #[test]
    fn the_lease_and_the_drain_of_the_start_stay_here_and_in_workers() {
        let load = |lease: &str| {
            let variables = [("DYNODE_ENGINE__LEASE_MS", lease), ("DYNODE_ENGINE__TOTAL_MS", lease)];
            let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            Sources { file: None, variables, flags: Vec::new() }.load().unwrap()
        };
        let (start, mut changed) = (load("5000"), load("6000"));
        changed.hold(&start.config.engine);
        let line = changed.resolved.handed_down("nats://127.0.0.1:4222").unwrap();
        let handed = Config::from_parent(line.expose()).unwrap();
        for config in [changed.config, handed] {
            assert_eq!((config.engine.lease_ms, config.engine.total_ms), (5_000, 6_000));
        }
    }
}
