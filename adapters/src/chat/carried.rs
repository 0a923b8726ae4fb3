//! What a provider wants to have back with a call of a tool: the thoughts that led to it, sealed by whoever had them.
//!
//! OpenAI's shape of a call has one field that every client sends back as it came: the id. So it travels in that, and no worker
//! has to remember anything. Only the model that it came from gets it back; others are told the id alone.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

/// Stands between id and what is carried. All of it is made of what every API takes in an id.
const SEPARATOR: &str = "--";

/// The digits that tell where something came from.
const ORIGIN_DIGITS: usize = 16;

/// So much is carried at most, in bytes: beyond it a conversation goes on without.
const BYTES_MAX: usize = 64 * 1024;

/// Where something came from: a model of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin(String);

impl Origin {
    pub(crate) fn new(provider: &str, model: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (provider, model).hash(&mut hasher);
        Self(format!("{:0ORIGIN_DIGITS$x}", hasher.finish()))
    }

    /// The id that the client gets.
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

    /// The id, and what came with it, if it came from here.
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
