//! Checks and makes signatures of Standard Webhooks 1.0.0 with a symmetric secret. Written from the specification
//! without any code of the engine's signer, so that one cannot repeat the other's mistake.

use std::fmt;
use std::str::FromStr;

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

/// How far a timestamp may be from now, in either direction, as in the reference libraries.
const TOLERANCE_SECONDS: i64 = 300;

/// The prefix of a secret in text form.
const SECRET_PREFIX: &str = "whsec_";

/// The key that sender and receiver share. It has no `Display`, and its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

/// The text is not a Standard Webhooks secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is `whsec_` and the key in base64")]
pub struct SecretError;

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header is absent or not text.
    #[error("header `{0}` is missing or not text")]
    Header(&'static str),
    /// The timestamp is not a number of seconds.
    #[error("header `webhook-timestamp` is not a whole number of seconds")]
    Timestamp,
    /// The timestamp is too far from now.
    #[error("the timestamp is {0} s from now, more than {TOLERANCE_SECONDS} s")]
    TooFar(i64),
    /// No signature in the list is one of this secret for this message.
    #[error("no `v1` signature matches")]
    NoMatch,
}

impl Secret {
    /// Checks that the holder of this secret recently signed `body` with these headers.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Refusal> {
        let id = header(headers, "webhook-id")?;
        let timestamp = header(headers, "webhook-timestamp")?;
        let signatures = header(headers, "webhook-signature")?;
        let seconds: i64 = timestamp.parse().map_err(|_| Refusal::Timestamp)?;
        let distance = now.as_second().saturating_sub(seconds);
        if distance.saturating_abs() > TOLERANCE_SECONDS {
            return Err(Refusal::TooFar(distance));
        }
        let accepted = signatures
            .split(' ')
            .filter_map(|entry| entry.strip_prefix("v1,"))
            .filter_map(|signature| STANDARD.decode(signature).ok())
            .any(|signature| self.signed(id, timestamp, body, &signature));
        if accepted { Ok(()) } else { Err(Refusal::NoMatch) }
    }

    /// The headers of a message signed with this secret, by name.
    #[must_use]
    pub fn sign(&self, id: &str, body: &[u8], now: Timestamp) -> [(&'static str, String); 3] {
        let timestamp = now.as_second().to_string();
        let signature = self.mac(id, &timestamp, body).finalize().into_bytes();
        [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", format!("v1,{}", STANDARD.encode(signature))),
        ]
    }

    /// Whether `signature` is this secret's, in constant time: a near miss takes as long as a wild guess.
    fn signed(&self, id: &str, timestamp: &str, body: &[u8], signature: &[u8]) -> bool {
        self.mac(id, timestamp, body).verify_slice(signature).is_ok()
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let key = self.0.expose_secret();
        let mut mac = Hmac::<Sha256>::new_from_slice(key)
            .unwrap_or_else(|_| unreachable!("a key of HMAC has any length"));
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(SECRET_PREFIX).filter(|key| !key.is_empty()).ok_or(SecretError)?;
        STANDARD.decode(encoded).map(|key| Self(key.into())).map_err(|_| SecretError)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(whsec_…)")
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Refusal> {
    headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Refusal::Header(name))
}

#[cfg(test)]
mod tests;
