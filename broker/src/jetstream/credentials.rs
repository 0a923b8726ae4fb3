//! Our credentials from a file: a NATS credentials file, or the seed of an nkey. Nothing of either is ever shown.

use std::path::Path;

use async_nats::ConnectOptions;
use nkeys::KeyPair;

use crate::{Error, ErrorKind};

/// How a user's seed begins.
const USER_SEED: &str = "SU";

/// The first token of the subjects on which a user with this public nkey gets its answers: nobody else asks under it.
pub fn inbox_of(public_key: &str) -> String {
    format!("_INBOX_{public_key}")
}

/// Adds the file's credentials to `options`.
pub(super) async fn sign(options: ConnectOptions, file: &Path) -> Result<ConnectOptions, Error> {
    let unusable = |error: std::io::Error| {
        let what = format!("cannot use the credentials file {}", file.display());
        Error::new(ErrorKind::Invalid, what).with_source(error)
    };
    let text = tokio::fs::read_to_string(file).await.map_err(unusable)?;
    // The parsers' messages may hold what they read.
    let invalid = || {
        let what = format!(
            "{} holds no NATS credentials: expected a credentials file, or the seed of an nkey (`SU…`)",
            file.display()
        );
        Error::new(ErrorKind::Invalid, what)
    };
    match seed(&text) {
        Some(seed) => {
            let user = KeyPair::from_seed(seed).map_err(|_| invalid())?;
            Ok(options.nkey(seed.to_owned()).custom_inbox_prefix(inbox_of(&user.public_key())))
        }
        None => options.credentials(&text).map_err(|_| invalid()),
    }
}

/// The seed, if the file holds nothing else but comments.
fn seed(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.next().filter(|line| line.starts_with(USER_SEED) && lines.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_stands_alone() {
        let seeds = KeyPair::new_user().seed().unwrap();
        assert_eq!(seed(&format!("# gateway\n\n{seeds}\n")), Some(seeds.as_str()));
        for other in ["", "-----BEGIN NATS USER JWT-----\nSU\n", &format!("{seeds}\n{seeds}")] {
            assert_eq!(seed(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn what_is_no_credential_is_told_without_being_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("user.nk");
        for bad in ["SUCANARY", "canary", ""] {
            std::fs::write(&file, bad).unwrap();
            let error = sign(ConnectOptions::new(), &file).await.err().unwrap();
            let told = format!("{error} {error:?}");
            assert!(told.contains("user.nk") && !told.to_lowercase().contains("canary"), "{told}");
        }
        std::fs::write(&file, KeyPair::new_user().seed().unwrap()).unwrap();
        sign(ConnectOptions::new(), &file).await.unwrap();
    }
}
