//! Where providers report the end of long work: a place for each call, and an unguessable token in its URL. Pure.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{RequestId, Tenant};

/// How many bytes of a token authenticate the rest.
const MAC_BYTES: usize = 32;
/// No place has a longer token.
const TOKEN_CHARS_MAX: usize = 512;

/// The place at which one call waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The tenant whose request it is.
    pub tenant: Tenant,
    /// The request.
    pub id: RequestId,
    /// Which attempt at the request.
    pub attempt: u32,
    /// A random number that no other call has: an attempt that is handed back is repeated under its number.
    pub call: u64,
    /// The configured name of the called provider.
    pub provider: Tenant,
}

/// Makes tokens with the installation's key, and recognises its own.
#[derive(Clone)]
pub struct TokenKey(Hmac<Sha256>);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl TokenKey {
    /// Signs with `key`.
    pub fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("a key of HMAC has any length")))
    }

    /// The token of `place`, in characters allowed in a URL's path.
    pub fn token(&self, place: &Place) -> String {
        // None of these holds a line break.
        let Place { tenant, id, attempt, call, provider } = place;
        let mut token = format!("{tenant}\n{id}\n{attempt}\n{call}\n{provider}").into_bytes();
        let mac = self.0.clone().chain_update(&token).finalize().into_bytes();
        token.extend_from_slice(&mac);
        BASE64_URL_SAFE_NO_PAD.encode(token)
    }

    /// The place of `token`; none if this key did not make it. A wrong token takes as long to check as a right one.
    pub fn read(&self, token: &str) -> Option<Place> {
        let decoded =
            (token.len() <= TOKEN_CHARS_MAX).then(|| BASE64_URL_SAFE_NO_PAD.decode(token).ok())??;
        let (place, mac) = decoded.split_at_checked(decoded.len().checked_sub(MAC_BYTES)?)?;
        self.0.clone().chain_update(place).verify_slice(mac).ok()?;
        let mut parts = std::str::from_utf8(place).ok()?.split('\n');
        let mut next = || parts.next();
        let place = Place {
            tenant: next()?.parse().ok()?,
            id: next()?.parse().ok()?,
            attempt: next()?.parse().ok()?,
            call: next()?.parse().ok()?,
            provider: next()?.parse().ok()?,
        };
        next().is_none().then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> TokenKey {
        TokenKey::new(b"the key of an installation")
    }

    proptest! {
        #[test]
        fn a_token_names_its_place_and_no_other(
            tenant in "[A-Za-z0-9_-]{1,64}", id in "[A-Za-z0-9_-]{1,64}", provider in "[A-Za-z0-9_-]{1,64}",
            attempt: u32, call: u64, at in any::<proptest::sample::Index>(), flip in 1..=255_u8,
        ) {
            let place = Place {
                tenant: tenant.parse().unwrap(), id: id.parse().unwrap(), attempt, call, provider: provider.parse().unwrap(),
            };
            let token = key().token(&place);
            prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            prop_assert_eq!(key().read(&token), Some(place));
            prop_assert_eq!(TokenKey::new(b"another").read(&token), None);
            let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(&token).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert_eq!(key().read(&BASE64_URL_SAFE_NO_PAD.encode(bytes)), None);
        }

        #[test]
        fn no_token_panics(token in ".{0,600}") {
            prop_assert_eq!(key().read(&token), None);
        }
    }
}
