//! Signatures by Standard Webhooks 1.0.0: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. Pure.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use schemas::Secret;
use sha2::Sha256;

const PREFIX: &str = "whsec_";
/// Shorter keys can be guessed.
const KEY_BYTES_MIN: usize = 16;

/// A signing key.
pub(super) struct Key(Hmac<Sha256>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Key {
    /// Reads `whsec_` and base64.
    pub(super) fn parse(secret: &Secret) -> Result<Self, String> {
        let encoded = secret.expose().strip_prefix(PREFIX);
        let bytes = encoded.and_then(|encoded| BASE64_STANDARD.decode(encoded).ok());
        let bytes = bytes.filter(|bytes| bytes.len() >= KEY_BYTES_MIN);
        let mac = bytes.and_then(|bytes| Hmac::new_from_slice(&bytes).ok());
        let why = "callback.secret: expected `whsec_` and the base64 of at least 16 random bytes";
        mac.map(Self).ok_or_else(|| why.to_owned())
    }

    /// The value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(id.as_bytes());
        mac.update(format!(".{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_specification_is_met() {
        let key = Key::parse(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_showing_it() {
        for bad in ["canary", "whsec_***", "whsec_YWJj"] {
            let why = Key::parse(&Secret::new(bad)).unwrap_err();
            assert!(why.contains("whsec_") && !why.contains("canary"), "{why}");
        }
    }
}
