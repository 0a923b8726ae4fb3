//! Hands the settings down to a worker process: its parent resolves them once, so that all processes use the same ones
//! even if the file was edited since.

use std::{collections::BTreeSet, fmt, path::Path};

use schemas::Secret;
use toml::{Table, Value};

use super::Config;

/// Every setting as read. Holds secrets, so it is never shown.
#[derive(Clone, PartialEq)]
pub(crate) struct Resolved(pub(super) Table);

impl Resolved {
    /// The settings as one line, for a process that finds the broker at `broker` and, if `credentials` is not empty,
    /// connects with those.
    pub(crate) fn handed_down(mut self, broker: &str, credentials: &Path) -> serde_json::Result<Secret> {
        self.0.insert("broker".to_owned(), Value::String(broker.to_owned()));
        if !credentials.as_os_str().is_empty() {
            let credentials = credentials.to_string_lossy().into_owned();
            self.0.insert("nats_credentials".to_owned(), Value::String(credentials));
        }
        // Unlike TOML, JSON needs no line breaks.
        serde_json::to_string(&self.0).map(|line| Secret::new(line + "\n"))
    }

    /// Resets to `start` all but the tables `live`, and within these the settings `held`; returns what differed.
    pub(crate) fn hold(&mut self, start: &Self, live: &[&str], held: &[(&str, &str)]) -> Vec<String> {
        let mut differed = Vec::new();
        let keys: BTreeSet<String> = self.0.keys().chain(start.0.keys()).cloned().collect();
        for key in keys.into_iter().filter(|key| !live.contains(&key.as_str())) {
            if put(&mut self.0, &key, start.0.get(&key)) {
                differed.push(key);
            }
        }
        for (table, key) in held {
            let Some(Value::Table(now)) = self.0.get_mut(*table) else { continue };
            if put(now, key, start.0.get(*table).and_then(|table| table.get(key))) {
                differed.push(format!("{table}.{key}"));
            }
        }
        differed
    }
}

/// Sets `key` to `value`, or removes it; returns whether that changed anything.
fn put(table: &mut Table, key: &str, value: Option<&Value>) -> bool {
    if table.get(key) == value {
        return false;
    }
    match value {
        Some(value) => table.insert(key.to_owned(), value.clone()),
        None => table.remove(key),
    };
    true
}

impl Config {
    /// The settings in a line from the parent. Drops the error message, which may hold a secret.
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

        let line = loaded.resolved.handed_down("nats://127.0.0.1:4222", Path::new("")).unwrap();
        assert_eq!(line.expose().lines().count(), 1);
        let handed = Config::from_parent(line.expose()).unwrap();
        let broker = "nats://127.0.0.1:4222".parse().unwrap();
        assert_eq!(format!("{handed:?}"), format!("{:?}", Config { broker, ..loaded.config }));
        assert!(Config::from_parent("").is_none());
    }

    #[test]
    fn what_takes_effect_at_the_next_start_stays_here_and_in_workers() {
        let load = |text: &str| {
            let variables = [
                ("DYNODE_ENGINE__LEASE_MS", text),
                ("DYNODE_ENGINE__TOTAL_MS", text),
                ("DYNODE_GATEWAY__PING_INTERVAL_MS", text),
            ];
            let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            Sources { file: None, variables, flags: Vec::new() }.load().unwrap()
        };
        let (start, mut changed) = (load("5000"), load("6000"));
        let differed = changed.resolved.hold(&start.resolved, &["engine"], &[("engine", "lease_ms")]);
        assert_eq!(differed, ["gateway", "engine.lease_ms"]);
        changed.reread().unwrap();
        let line = changed.resolved.handed_down("nats://127.0.0.1:4222", Path::new("worker.nk")).unwrap();
        let handed = Config::from_parent(line.expose()).unwrap();
        for Config { engine, gateway, .. } in [changed.config, handed] {
            assert_eq!((engine.lease_ms, gateway.ping_interval_ms, engine.total_ms), (5_000, 5_000, 6_000));
        }
    }
}
