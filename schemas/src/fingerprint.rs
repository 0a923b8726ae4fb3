//! Distinguishes two requests under one id: a hash of what was asked for, independent of the order of its fields.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::Request;

/// How much of the hash is kept.
const DIGEST_BYTES: usize = 16;

/// A hash of the payload: 32 hexadecimal digits, equal in JSON and MessagePack.
///
/// A different deadline, priority, route or callback does not make it another request. Nor does the action: `auto` is
/// decided later, and the payload shows what is asked for.
pub fn of(request: &Request) -> String {
    let mut hasher = Sha256::new();
    absorb(&mut hasher, &request.payload);
    hasher.finalize().iter().take(DIGEST_BYTES).fold(
        String::with_capacity(2 * DIGEST_BYTES),
        |mut hex, byte| {
            // Writing to a string never fails.
            let _ = write!(hex, "{byte:02x}");
            hex
        },
    )
}

/// Hashes `value` with a tag and a length before each part, so that no two values feed the same bytes.
fn absorb(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hasher.update(b"n"),
        Value::Bool(flag) => hasher.update([b'b', u8::from(*flag)]),
        Value::Number(number) => text(hasher, b'd', &number.to_string()),
        Value::String(string) => text(hasher, b's', string),
        Value::Array(items) => {
            length(hasher, b'a', items.len());
            items.iter().for_each(|item| absorb(hasher, item));
        }
        Value::Object(fields) => {
            length(hasher, b'o', fields.len());
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            for (name, field) in fields {
                text(hasher, b'k', name);
                absorb(hasher, field);
            }
        }
    }
}

fn text(hasher: &mut Sha256, tag: u8, text: &str) {
    length(hasher, tag, text.len());
    hasher.update(text);
}

fn length(hasher: &mut Sha256, tag: u8, length: usize) {
    hasher.update([tag]);
    hasher.update((length as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Action, Format};

    #[test]
    fn order_and_format_do_not_matter_and_content_does() {
        let one = Request::new(Action::Auto, json!({"a": 1, "b": [true, null, 0.5]}));
        let two = Request::new(Action::Auto, json!({"b": [true, null, 0.5], "a": 1}));
        assert_eq!(of(&one), of(&two));
        let bytes = Format::MessagePack.encode(&one).unwrap();
        assert_eq!(of(&Format::MessagePack.decode(&bytes).unwrap()), of(&one));
        let other = Request::new(Action::Auto, json!({"a": 2, "b": [true, null, 0.5]}));
        assert_ne!(of(&one), of(&other));
    }
}
