//! What is wrong with a configuration, where, and how to mend it. Never shows a secret.

use std::fmt;

use super::{Origins, Place};

/// A key or a value that stops the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    /// Where it stands, if known.
    pub(crate) place: Option<Place>,
    /// The path of the key; empty if the file as a whole is wrong.
    pub(crate) key: String,
    /// What is wrong and what was expected.
    pub(crate) why: String,
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.why)
    }
}

impl Error {
    /// An error of serde, in the words of this project.
    pub(super) fn from_serde(origins: &Origins, error: serde_path_to_error::Error<toml::de::Error>) -> Self {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        let message = error.inner().message();
        let why = if is_secret(&path) {
            "expected a string".to_owned()
        } else if message.starts_with("unknown field") {
            unknown_key(message)
        } else {
            message.to_owned()
        };
        origins.blame(&path, why)
    }
}

/// Whether the value at `path` must not be shown: keys, secrets, and headers, which often carry secrets.
fn is_secret(path: &str) -> bool {
    path.split(['.', '[']).any(|key| key.ends_with("secret") || matches!(key, "api_key" | "headers"))
}

/// Suggests the nearest known key, or lists all. Serde's message quotes the wrong key, then every known one.
fn unknown_key(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let wrong = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    match nearest(wrong, &known) {
        Some(key) => format!("there is no such key; did you mean `{key}`? `dynode config` shows every key"),
        None => format!("there is no such key; the keys here are {}", known.join(", ")),
    }
}

/// The known key that is a typing error away from `wrong`, if there is one.
fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    /// One edit per three characters is a typing error; more is another word.
    const CHARACTERS_PER_EDIT: usize = 3;
    let (edits, key) = known.iter().map(|key| (distance(wrong, key), *key)).min()?;
    (edits <= wrong.len().max(CHARACTERS_PER_EDIT) / CHARACTERS_PER_EDIT).then_some(key)
}

/// How many insertions, deletions and substitutions turn `left` into `right` (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.bytes().enumerate() {
            let changed = diagonal + usize::from(l != r);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_told_the_nearest_key_and_another_word_is_not() {
        let known = ["listen", "broker", "data_dir"];
        assert_eq!(nearest("listn", &known), Some("listen"));
        assert_eq!(nearest("datadir", &known), Some("data_dir"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
