//! Planted secrets, wherever the engine is given one, new for each run: found anywhere else, they are a leak. They are
//! never written where the run keeps its findings.

use std::{fs, io, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use schemas::{ApiKey, KeyMode, Secret};

use crate::{history::Fact, scribe::Scribe};

/// The planted secrets of one run.
#[derive(Debug)]
pub(crate) struct Canaries {
    /// The provider's key.
    pub(crate) provider_key: String,
    /// The password of the broker.
    pub(crate) broker_password: String,
    /// The key that requests carry for their callbacks, without its prefix.
    callback_key: String,
    /// The key for callbacks whose requests carry none, without its prefix.
    default_key: String,
    /// The API key of the clients.
    pub(crate) client_key: Secret,
    /// The secret part of it; the rest may be shown.
    client_secret: String,
}

/// Which secrets a place must not contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sought {
    /// All of them.
    All,
    /// All but the callback key: requests are stored there verbatim, with the key of their callbacks.
    ButCallbackKey,
}

impl Canaries {
    /// New secrets.
    pub(crate) fn plant() -> Self {
        let random = |name: &str| format!("canary-{name}-{:032x}", rand::random::<u128>());
        let key = |name: &str| STANDARD.encode(random(name));
        let client_key = ApiKey::make(KeyMode::Live, rand::random::<u64>);
        Self {
            client_secret: secret_of(client_key.expose()).to_owned(),
            client_key: Secret::new(client_key.expose()),
            provider_key: random("provider"),
            broker_password: random("broker"),
            callback_key: key("callback"),
            default_key: key("default"),
        }
    }

    /// The secrets for clients that have their own key.
    pub(crate) fn of_clients_with(self, key: &Secret) -> Self {
        Self { client_secret: secret_of(key.expose()).to_owned(), client_key: key.clone(), ..self }
    }

    /// The key that requests carry for their callbacks.
    pub(crate) fn callback_secret(&self) -> Secret {
        Secret::new(format!("whsec_{}", self.callback_key))
    }

    /// The key for callbacks whose requests carry none.
    pub(crate) fn default_secret(&self) -> String {
        format!("whsec_{}", self.default_key)
    }

    fn sought(&self, sought: Sought) -> Vec<&str> {
        let everywhere = [&self.provider_key, &self.broker_password, &self.default_key, &self.client_secret];
        let callback = Some(&self.callback_key).filter(|_| sought == Sought::All);
        everywhere.into_iter().chain(callback).map(String::as_str).collect()
    }

    /// The text with its secrets replaced; `None` if it contains none.
    fn taken_out(&self, text: &str, sought: Sought) -> Option<String> {
        let found = self.sought(sought).into_iter().filter(|secret| text.contains(*secret));
        let clean = found.fold(text.to_owned(), |text, secret| text.replace(secret, "[canary]"));
        (clean != text).then_some(clean)
    }

    /// Records that a place was searched.
    pub(crate) fn searched(&self, place: &str, sought: Sought, scribe: &Scribe) {
        let canaries = self.sought(sought).len() as u64;
        scribe.write("harness", Fact::Searched { place: place.to_owned(), canaries });
    }

    /// Records each secret in `text`, which was found at `place`.
    pub(crate) fn look_in(&self, place: &str, text: &str, sought: Sought, scribe: &Scribe) {
        for line in text.lines().filter_map(|line| self.taken_out(line, sought)) {
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
                self.look_in(&name, &text, Sought::All, scribe);
                self.searched(&name, Sought::All, scribe);
            }
        }
        Ok(())
    }
}

/// The secret part of an API key, after its lookup id; of any other text, all of it.
fn secret_of(key: &str) -> &str {
    let end = ApiKey::parse(key).ok().and_then(|_| key.rsplit_once('_'));
    end.map_or(key, |(_, secret)| secret)
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
        let seen = |text: &str| canaries.taken_out(text, Sought::All);
        let line = format!("Authorization: Bearer {}", canaries.provider_key);
        assert_eq!(seen(&line).unwrap(), "Authorization: Bearer [canary]");
        assert_eq!(seen("nothing here"), None);
        assert!(seen(&canaries.default_secret()).is_some());
    }

    #[test]
    fn of_an_api_key_its_id_may_be_shown_and_its_secret_may_not() {
        let canaries = Canaries::plant();
        let key = ApiKey::parse(canaries.client_key.expose()).unwrap();
        let seen = |text: &str| canaries.taken_out(text, Sought::ButCallbackKey);
        assert_eq!(seen(&format!("sent_by={}", key.id())), None);
        assert_eq!(seen(key.expose()).unwrap(), format!("dyn_live_{}_[canary]", key.id()));
        let given = canaries.of_clients_with(&Secret::new("a key of another kind"));
        assert!(given.taken_out("key=a key of another kind", Sought::All).is_some());
    }

    #[test]
    fn where_requests_are_kept_the_key_of_their_callbacks_is_no_leak() {
        let canaries = Canaries::plant();
        let secret = canaries.callback_secret();
        assert_eq!(canaries.taken_out(secret.expose(), Sought::ButCallbackKey), None);
        assert!(canaries.taken_out(secret.expose(), Sought::All).is_some());
    }
}
