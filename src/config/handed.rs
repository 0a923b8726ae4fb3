//! The settings as a worker process gets them: resolved once, by its parent, and handed down, so that all processes work
//! by the same ones even when the file has been edited since.

use std::fmt;

use schemas::Secret;
use toml::{Table, Value};

use super::Config;

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
