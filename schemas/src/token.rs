//! Validated subject tokens: a tenant, a request id and a key id are always safe to put into a subject.
//!
//! `[A-Za-z0-9_-]{1,64}`: no dot, wildcard, space or control character, so no id can widen a subscription.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    str::FromStr,
    sync::Arc,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 64;

/// The text is not a subject token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is not a valid {what}: use 1 to 64 characters out of A-Z a-z 0-9 _ -")]
pub struct InvalidToken {
    what: &'static str,
    shown: String,
}

fn check(what: &'static str, text: &str) -> Result<(), InvalidToken> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !text.is_empty() && text.len() <= TOKEN_BYTES_MAX && text.bytes().all(allowed) {
        return Ok(());
    }
    let shown = text.chars().take(TOKEN_BYTES_MAX).flat_map(char::escape_debug).collect();
    Err(InvalidToken { what, shown })
}

macro_rules! token {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text`; the error names the offending value.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidToken> {
                check($what, text.as_ref()).map(|()| Self(text.as_ref().into()))
            }

            /// The token as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" })
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidToken;
            fn try_from(text: String) -> Result<Self, InvalidToken> {
                Self::new(text)
            }
        }
        impl FromStr for $name {
            type Err = InvalidToken;
            fn from_str(text: &str) -> Result<Self, InvalidToken> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(token: $name) -> String {
                token.0.as_ref().to_owned()
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

token!(
    /// The tenant whose work it is. At the gateway it comes from the verified key, on the bus from the subject.
    Tenant,
    "tenant"
);
token!(
    /// Identifies one request within its tenant, for ever: the same id again attaches to the same request.
    RequestId,
    "request id"
);
token!(
    /// Identifies an API key: its lookup id, which is not secret.
    KeyId,
    "key id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_metacharacters_are_refused() {
        for bad in ["", ".", "a.b", "*", ">", "a b", "a\r\nb", "ä", "a/b", &"x".repeat(65)] {
            assert!(RequestId::new(bad).is_err(), "{bad:?} must be refused");
        }
        for good in ["a", "req-123", "A_z-9", &"x".repeat(64)] {
            assert_eq!(RequestId::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn the_error_shows_the_value_without_control_characters() {
        let text = Tenant::new("a\r\nb").unwrap_err().to_string();
        assert!(text.starts_with("`a\\r\\nb` is not a valid tenant"), "{text}");
    }
}
