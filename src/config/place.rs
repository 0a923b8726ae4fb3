//! Records where a setting came from, so that an error can point at it.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use super::Error;

/// Where one setting stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// Its column, from 1.
        column: usize,
    },
    /// In a variable of the environment.
    Variable(String),
    /// On the command line.
    Flag(&'static str),
}

impl Place {
    /// The place of the byte at `offset` of a file that holds `text`.
    pub(crate) fn in_file(path: PathBuf, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Self::File { path, line, column: before[line_start..].chars().count() + 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// Where every setting came from, by its path (`providers.sim.models.sim-chat`, `classifier.rules[0].when`).
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins(BTreeMap<String, Place>);

impl Origins {
    /// Records that `path` was set at `place`, replacing any earlier place.
    pub(super) fn set(&mut self, path: String, place: Place) {
        self.0.insert(path, place);
    }

    /// Records that a table was first named at `place`.
    pub(super) fn set_first(&mut self, path: String, place: Place) {
        self.0.entry(path).or_insert(place);
    }

    /// Where `path` was set, or else the nearest enclosing table.
    pub(crate) fn place(&self, path: &str) -> Option<&Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// An error about `path`, which points at where it was set.
    pub(crate) fn blame(&self, path: &str, why: impl fmt::Display) -> Error {
        Error { place: self.place(path).cloned(), key: path.to_owned(), why: why.to_string() }
    }
}
