//! Signs links to assets and checks them: an asset and an expiry, signed with the key of the installation. Pure.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use schemas::Tenant;
use sha2::Sha256;

/// What a link carries besides the asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// When it expires, in seconds since 1970.
    pub(super) expires: i64,
    pub(super) signature: String,
}

/// Signs links, and recognises its own.
pub(super) struct Signer(Hmac<Sha256>);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Signer {
    /// Signs with `key`.
    pub(super) fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("a key of HMAC has any length")))
    }

    /// A link to the asset `id` of `tenant`.
    pub(super) fn sign(&self, tenant: &Tenant, id: &str, expires: i64) -> Link {
        let signature = self.mac(tenant, id, expires).finalize().into_bytes();
        Link { expires, signature: BASE64_URL_SAFE_NO_PAD.encode(signature) }
    }

    /// Whether `link` was signed here for this asset. Takes as long for a wrong signature as for a right one.
    pub(super) fn is_signed(&self, tenant: &Tenant, id: &str, link: &Link) -> bool {
        let signature = BASE64_URL_SAFE_NO_PAD.decode(&link.signature).unwrap_or_default();
        self.mac(tenant, id, link.expires).verify_slice(&signature).is_ok()
    }

    fn mac(&self, tenant: &Tenant, id: &str, expires: i64) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        // Neither a tenant nor a number can hold a line break.
        mac.update(format!("{tenant}\n{expires}\n{id}").as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_for_its_asset_its_tenant_and_its_end_alone() {
        let signer = Signer::new(b"key");
        let [acme, other] = ["acme", "other"].map(|tenant| Tenant::new(tenant).unwrap());
        let link = signer.sign(&acme, "a", 100);
        assert!(signer.is_signed(&acme, "a", &link));
        assert!(!signer.is_signed(&other, "a", &link));
        assert!(!signer.is_signed(&acme, "b", &link));
        assert!(!signer.is_signed(&acme, "a", &Link { expires: 101, ..link.clone() }));
        assert!(!signer.is_signed(&acme, "a", &Link { signature: String::new(), ..link }));
        assert!(!Signer::new(b"another").is_signed(&acme, "a", &link));
        assert_eq!(format!("{signer:?}"), "[redacted]");
    }
}
