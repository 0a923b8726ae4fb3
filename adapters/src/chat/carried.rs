//! Carries, in the id of a tool call, the sealed thoughts before it: the provider wants them back with the call.
//!
//! In OpenAI's format, every client sends one field of a call back unchanged: the id. So the thoughts travel in it, and
//! no worker has to remember anything. Only the model that had them gets them back; others get the bare id.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

/// Separates the id from what it carries. The whole uses only characters that every API takes in an id.
const SEPARATOR: &str = "--";

/// The number of hexadecimal digits of an [`Origin`].
const ORIGIN_DIGITS: usize = 16;

/// The most that an id carries, in bytes; anything longer is left out, and the conversation goes on without it.
const BYTES_MAX: usize = 64 * 1024;

/// Where thoughts came from: a model of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin(String);

impl Origin {
    pub(crate) fn new(provider: &str, model: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (provider, model).hash(&mut hasher);
        Self(format!("{:0ORIGIN_DIGITS$x}", hasher.finish()))
    }

    /// The id to give to the client.
    pub(crate) fn join(&self, id: &str, things: &[Value]) -> String {
        let carried = match things {
            [] => return id.to_owned(),
            things => BASE64_URL_SAFE_NO_PAD.encode(Value::from(things).to_string()),
        };
        if carried.len() > BYTES_MAX {
            return id.to_owned();
        }
        format!("{id}{SEPARATOR}{}-{carried}", self.0)
    }

    /// The call's own id, and what it carries if that came from this origin.
    pub(crate) fn split<'i>(&self, id: &'i str) -> (&'i str, Vec<Value>) {
        let parts = id.split_once(SEPARATOR).and_then(|(id, rest)| Some((id, rest.split_once('-')?)));
        let Some((id, (origin, carried))) = parts.filter(|(_, (origin, _))| is_origin(origin)) else {
            return (id, Vec::new());
        };
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(carried).ok().filter(|_| origin == self.0);
        (id, bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }
}

fn is_origin(text: &str) -> bool {
    text.len() == ORIGIN_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_joined_is_split_again_by_whoever_it_came_from() {
        let (here, there) = (Origin::new("p", "m"), Origin::new("p", "n"));
        let things = vec![json!({"thinking": "hm \u{e4}", "signature": "a+/="})];
        let joined = here.join("toolu_1", &things);
        assert_eq!(here.split(&joined), ("toolu_1", things));
        assert_eq!(there.split(&joined), ("toolu_1", Vec::new()));
        assert_eq!(here.join("toolu_1", &[]), "toolu_1");
        assert_eq!(here.join("toolu_1", &[json!("x".repeat(BYTES_MAX))]), "toolu_1", "too much");
        assert_eq!(here.split(&format!("toolu_1--{}-?", here.0)), ("toolu_1", Vec::new()));
        for foreign in ["call--1", "call--1-2", "call_1", "--", "call~sig--"] {
            assert_eq!(here.split(foreign), (foreign, Vec::new()), "an id of somebody else's");
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        assert!(joined.chars().all(fits), "{joined}");
    }
}
