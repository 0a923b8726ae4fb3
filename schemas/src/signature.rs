//! Signatures by Standard Webhooks 1.0.0: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. Pure.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Secret;

const PREFIX: &str = "whsec_";
/// The prefix of a signature by a key that both sides hold.
const VERSION: &str = "v1,";
/// Shorter keys can be guessed.
const KEY_BYTES_MIN: usize = 16;

/// The error for a text that is not a key: it says what is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `whsec_` and the base64 of at least 16 random bytes")]
pub struct NoKey;

/// A key that signs, and recognises its own signatures.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl SigningKey {
    /// Reads `whsec_` and base64.
    pub fn parse(secret: &Secret) -> Result<Self, NoKey> {
        let encoded = secret.expose().strip_prefix(PREFIX);
        let bytes = encoded.and_then(|encoded| BASE64_STANDARD.decode(encoded).ok());
        let bytes = bytes.filter(|bytes| bytes.len() >= KEY_BYTES_MIN);
        let mac = bytes.and_then(|bytes| Hmac::new_from_slice(&bytes).ok());
        mac.map(Self).ok_or(NoKey)
    }

    /// The value of `webhook-signature`. `timestamp` is in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signature = self.mac(id, timestamp, body).finalize().into_bytes();
        format!("{VERSION}{}", BASE64_STANDARD.encode(signature))
    }

    /// Whether one of `signatures`, the value of `webhook-signature`, is ours. Each takes as long to check whether it
    /// is right or wrong; those of other versions are skipped.
    pub fn has_signed(&self, id: &str, timestamp: i64, body: &[u8], signatures: &str) -> bool {
        let mac = self.mac(id, timestamp, body);
        let given = signatures.split(' ').filter_map(|signature| signature.strip_prefix(VERSION));
        given
            .filter_map(|signature| BASE64_STANDARD.decode(signature).ok())
            .any(|signature| mac.clone().verify_slice(&signature).is_ok())
    }

    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(id.as_bytes());
        mac.update(format!(".{timestamp}.").as_bytes());
        mac.update(body);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn key() -> SigningKey {
        SigningKey::parse(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap()
    }

    #[test]
    fn the_vector_of_the_specification_is_met() {
        assert_eq!(key().sign(ID, TIME, BODY), SIGNATURE);
        assert!(key().has_signed(ID, TIME, BODY, SIGNATURE));
    }

    #[test]
    fn a_signature_is_good_for_its_message_alone() {
        assert!(key().has_signed(ID, TIME, BODY, &format!("v1a,xyz v1,AAAA {SIGNATURE}")), "among others");
        assert!(!key().has_signed("msg_other", TIME, BODY, SIGNATURE));
        assert!(!key().has_signed(ID, TIME + 1, BODY, SIGNATURE));
        assert!(!key().has_signed(ID, TIME, b"{}", SIGNATURE));
        let other = SigningKey::parse(&Secret::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")).unwrap();
        assert!(!other.has_signed(ID, TIME, BODY, SIGNATURE));
        for bad in ["", "v1,", "v1", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v2,AAAA"] {
            assert!(!key().has_signed(ID, TIME, BODY, bad), "{bad}");
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_showing_it() {
        for bad in ["canary", "whsec_***", "whsec_YWJj"] {
            let why = SigningKey::parse(&Secret::new(bad)).unwrap_err().to_string();
            assert!(why.contains("whsec_") && !why.contains("canary"), "{why}");
        }
        assert_eq!(format!("{:?}", key()), "[redacted]");
    }
}
