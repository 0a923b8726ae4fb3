//! Where callbacks go and how these targets answered: one record for each target that has not taken its last callbacks.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use crate::Tenant;

/// How many hexadecimal digits the id of a target has.
const ID_DIGITS: usize = 32;

/// A target that did not take the last callbacks of its tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The URL without its query, which may hold secrets.
    pub url: String,
    /// How many callbacks in a row were given up.
    pub failures: u32,
    /// When the engine stopped sending there; `None` if it still sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Timestamp>,
    /// The last answer, or why there was none.
    pub why: String,
}

/// The part of `url` that is shown: without its query and its user, which may be secret. It identifies the target.
pub fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// The id of the target `url`, as it is [`shown`], among those of its tenant.
pub fn id(url: &str) -> String {
    let digits = Sha256::digest(url.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    digits[..ID_DIGITS].to_owned()
}

/// The key under which the record of a target is kept.
pub fn key(tenant: &Tenant, id: &str) -> String {
    format!("{tenant}.{id}")
}

/// Whether `id` has the form of a target's id.
pub fn is_id(id: &str) -> bool {
    id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_told_by_what_is_shown_of_it() {
        let url = Url::parse("https://user:canary@EXAMPLE.com:443/hook?key=canary#canary").unwrap();
        assert_eq!(shown(&url), "https://example.com/hook");
        let id = id(&shown(&url));
        assert!(is_id(&id) && !is_id("x") && !is_id(&id.to_uppercase()));
        assert_eq!(key(&Tenant::new("acme").unwrap(), &id), format!("acme.{id}"));
    }
}
