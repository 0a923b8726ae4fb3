//! Secrets that are planted wherever the engine is given one, made anew for each run; found anywhere else, they are a
//! leak. They are never written down where the run keeps its findings.

use std::{fs, io, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use schemas::Secret;

use crate::{history::Fact, scribe::Scribe};

/// The planted secrets of one run.
#[derive(Debug)]
pub(crate) struct Canaries {
    /// The provider's key.
    pub(crate) provider_key: String,
    /// The password of the broker.
    pub(crate) broker_password: String,
    /// The key that requests bring for their callbacks, without its prefix.
    callback_key: String,
    /// The key of callbacks that bring none, without its prefix.
    default_key: String,
    /// What clients send as their credential.
    pub(crate) client_key: String,
}

impl Canaries {
    /// New ones, unlike any other.
    pub(crate) fn plant() -> Self {
        let random = |name: &str| format!("canary-{name}-{:032x}", rand::random::<u128>());
        let key = |name: &str| STANDARD.encode(random(name));
        Self {
            provider_key: random("provider"),
            broker_password: random("broker"),
            callback_key: key("callback"),
            default_key: key("default"),
            client_key: random("client"),
        }
    }

    /// The key that requests bring for their callbacks.
    pub(crate) fn callback_secret(&self) -> Secret {
        Secret::new(format!("whsec_{}", self.callback_key))
    }

    /// The key of callbacks that bring none.
    pub(crate) fn default_secret(&self) -> String {
        format!("whsec_{}", self.default_key)
    }

    fn all(&self) -> [&str; 5] {
        [&self.provider_key, &self.broker_password, &self.callback_key, &self.default_key, &self.client_key]
    }

    /// The text without the secrets in it; none where it holds none.
    fn taken_out(&self, text: &str) -> Option<String> {
        let found = self.all().into_iter().filter(|secret| text.contains(*secret));
        let clean = found.fold(text.to_owned(), |text, secret| text.replace(secret, "[canary]"));
        (clean != text).then_some(clean)
    }

    /// Writes down that a place was searched.
    pub(crate) fn searched(&self, place: &str, scribe: &Scribe) {
        let canaries = self.all().len() as u64;
        scribe.write("harness", Fact::Searched { place: place.to_owned(), canaries });
    }

    /// Writes down where a secret stands in `text`, which was found at `place`.
    pub(crate) fn look_in(&self, place: &str, text: &str, scribe: &Scribe) {
        for line in text.lines().filter_map(|line| self.taken_out(line)) {
            scribe.write("harness", Fact::Leaked { place: place.to_owned(), line: shortened(&line) });
        }
    }

    /// The same for every log in `dir`.
    pub(crate) fn look_in_logs(&self, dir: &Path, scribe: &Scribe) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                self.look_in(&name, &text, scribe);
                self.searched(&name, scribe);
            }
        }
        Ok(())
    }
}

fn shortened(line: &str) -> String {
    const CHARACTERS_MAX: usize = 300;
    line.chars().take(CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_secret_is_found_and_not_repeated() {
        let canaries = Canaries::plant();
        let line = format!("Authorization: Bearer {}", canaries.provider_key);
        assert_eq!(canaries.taken_out(&line).unwrap(), "Authorization: Bearer [canary]");
        assert_eq!(canaries.taken_out("nothing here"), None);
        assert!(canaries.taken_out(&canaries.default_secret()).is_some());
    }
}
