//! Hashes keys, so that only hashes are stored. A key holds 190 random bits, so one fast hash is enough; hashes in the
//! broker also use a pepper, so that anyone who can only read them there cannot even try a key.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use schemas::ApiKey;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The prefix of the hash of a key in the configuration.
const CONFIGURED: &str = "sha256:";

/// The pepper of the installation.
#[derive(Clone)]
pub(super) struct Pepper(Hmac<Sha256>);

impl Pepper {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).unwrap_or_else(|_| unreachable!("a key of HMAC has any length")))
    }

    /// The hash of `key`.
    pub(super) fn hash(&self, key: &ApiKey) -> [u8; 32] {
        self.0.clone().chain_update(key.expose()).finalize().into_bytes().into()
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The hash that a key is compared with. It gives no access by itself, but is still never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Hash {
    /// Made with the pepper.
    Peppered([u8; 32]),
    /// Made without it, for the configuration.
    Plain([u8; 32]),
}

impl Hash {
    /// Whether it is the hash of `key`. Takes as long for a wrong key as for the right one.
    pub(super) fn is_of(&self, key: &ApiKey, pepper: Option<&Pepper>) -> bool {
        match (self, pepper) {
            (Self::Peppered(hash), Some(pepper)) => pepper.hash(key).ct_eq(hash).into(),
            (Self::Peppered(_), None) => false,
            (Self::Plain(hash), _) => plain(key).ct_eq(hash).into(),
        }
    }

    /// Parses the hash in a configuration, `sha256:` and hexadecimal digits.
    pub(super) fn of_config(text: &str) -> Option<Self> {
        text.strip_prefix(CONFIGURED).and_then(from_hex).map(Self::Plain)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The hash that a configuration holds instead of `key`.
pub fn config_hash(key: &ApiKey) -> String {
    format!("{CONFIGURED}{}", to_hex(&plain(key)))
}

fn plain(key: &ApiKey) -> [u8; 32] {
    Sha256::digest(key.expose()).into()
}

pub(super) fn to_hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::KeyMode;

    use super::*;

    fn key(seed: u64) -> ApiKey {
        let mut number = seed;
        ApiKey::make(KeyMode::Live, || {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            number ^ (number >> 33)
        })
    }

    proptest! {
        #[test]
        fn a_hash_is_of_its_key_and_of_no_other(seed: u64, other: u64) {
            prop_assume!(seed != other);
            let (pepper, foreign) = (Pepper::new(b"one"), Pepper::new(b"other"));
            let (key, other) = (key(seed), key(other));
            let hash = Hash::Peppered(pepper.hash(&key));
            prop_assert!(hash.is_of(&key, Some(&pepper)) && !hash.is_of(&other, Some(&pepper)));
            prop_assert!(!hash.is_of(&key, Some(&foreign)) && !hash.is_of(&key, None));
            let hash = Hash::of_config(&config_hash(&key)).unwrap();
            prop_assert!(hash.is_of(&key, None) && !hash.is_of(&other, None));
        }

        #[test]
        fn hexadecimal_digits_are_read_as_they_were_written(bytes: [u8; 32], text in ".{0,70}") {
            prop_assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
            let _ = from_hex(&text);
        }
    }

    #[test]
    fn nothing_of_it_is_shown() {
        let hash = Hash::of_config(&config_hash(&key(7))).unwrap();
        assert_eq!(format!("{hash:?}{:?}", Pepper::new(b"canary")), "[redacted][redacted]");
        assert!(Hash::of_config("sha256:12").is_none() && Hash::of_config(&"0".repeat(64)).is_none());
    }
}
