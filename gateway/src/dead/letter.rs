//! Reads one parked message from its stream, and shows it to people, never with a callback's secret.

use broker::{Stored, message::CONTENT_TYPE};
use jiff::Timestamp;
use schemars::JsonSchema;
use schemas::{CallbackJob, DeadLetter, Error, ErrorCode, Format, Subjects, VERSION};
use serde::Serialize;
use serde_json::{Value, json};

/// The prefix of a callback's key.
const KEY_PREFIX: &str = "whsec_";

/// A parked message, and its place in the stream.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) sequence: u64,
    pub(super) stage: String,
    pub(super) tenant: String,
    pub(super) id: String,
    pub(super) parked: DeadLetter,
}

/// A letter in a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetterSummary")]
pub(crate) struct Summary {
    /// Identifies the letter.
    pub(super) sequence: u64,
    /// When it was parked.
    parked_at: Timestamp,
    /// The stage that parked it.
    stage: String,
    /// The tenant of its sender; `unknown` if that could not be read.
    tenant: String,
    /// The id of the request, or of the message.
    id: String,
    /// Why it was parked.
    code: ErrorCode,
    /// Why it was parked, for people.
    message: String,
    /// The subject to which it was published.
    subject: String,
    /// How often it was delivered.
    deliveries: u32,
    /// The length of its body, in bytes.
    bytes: usize,
}

/// A whole letter, its body in a form that people can read.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub(crate) struct Whole {
    #[serde(flatten)]
    summary: Summary,
    /// The error with which it was parked.
    reason: Error,
    /// The `Content-Type` of the message.
    content_type: Option<String>,
    /// How many bytes at the end of the message did not fit into the letter. If any are missing, it cannot be replayed.
    missing_bytes: u64,
    /// The message, without a callback's secret.
    body: Body,
}

/// A body that people can read.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "format", content = "content", rename_all = "lowercase")]
#[schemars(rename = "ReadableBody")]
enum Body {
    /// JSON.
    Json(Value),
    /// MessagePack, shown as JSON.
    MessagePack(Value),
    /// Text that is neither.
    Text(String),
    /// Bytes that are not text, in hexadecimal.
    Hex(String),
}

impl Letter {
    /// Reads a letter; `None` if the subject is not a letter's. An unreadable letter can still be seen and dropped.
    pub(super) fn read(stored: Stored, subjects: &Subjects) -> Option<Self> {
        let Stored { message, sequence, stored_at } = stored;
        let (stage, tenant, id) = subjects.parse_dead(&message.subject)?;
        let (stage, tenant, id) = (stage.to_owned(), tenant.to_owned(), id.to_owned());
        let parked = message.format().decode(&message.payload).unwrap_or_else(|error: Error| {
            let why = format!("this letter itself cannot be read: {}", error.message);
            DeadLetter {
                v: VERSION,
                stage: stage.clone(),
                subject: String::new(),
                content_type: message.headers.get(CONTENT_TYPE).map(str::to_owned),
                body: message.payload.clone(),
                missing_bytes: 0,
                reason: Error::new(ErrorCode::Internal, why),
                deliveries: 0,
                parked_at: stored_at,
            }
        });
        Some(Self { sequence, stage, tenant, id, parked })
    }

    /// Whether the id belongs to another request, ended or not.
    pub(super) fn needs_new_id(&self) -> bool {
        self.parked.reason.code == ErrorCode::Conflict
    }

    /// The format of the parked message.
    pub(super) fn format(&self) -> Format {
        Format::detect(self.parked.content_type.as_deref(), &self.parked.body)
    }

    pub(super) fn summary(&self) -> Summary {
        let DeadLetter { parked_at, subject, reason, deliveries, body, .. } = &self.parked;
        Summary {
            sequence: self.sequence,
            parked_at: *parked_at,
            stage: self.stage.clone(),
            tenant: self.tenant.clone(),
            id: self.id.clone(),
            code: reason.code,
            message: reason.message.clone(),
            subject: subject.clone(),
            deliveries: *deliveries,
            bytes: body.len(),
        }
    }

    /// The whole letter, its body in a form that people can read.
    pub(super) fn whole(&self) -> Whole {
        let DeadLetter { reason, content_type, missing_bytes, .. } = &self.parked;
        let (reason, content_type) = (reason.clone(), content_type.clone());
        let (summary, body) = (self.summary(), self.body());
        Whole { summary, reason, content_type, missing_bytes: *missing_bytes, body }
    }

    fn body(&self) -> Body {
        let (format, body) = (self.format(), &self.parked.body);
        // The vectors of a callback job are bytes, for which JSON has no type.
        let job = || format.decode::<CallbackJob>(body).ok().and_then(|job| serde_json::to_value(job).ok());
        match format.decode::<Value>(body).ok().or_else(job) {
            Some(mut value) => {
                redact(&mut value);
                match format {
                    Format::Json => Body::Json(value),
                    Format::MessagePack => Body::MessagePack(value),
                }
            }
            None => match String::from_utf8(strike_keys(body)) {
                Ok(text) => Body::Text(text),
                Err(no_text) => Body::Hex(hex(no_text.as_bytes())),
            },
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Redacts whatever looks like the key of a callback, wherever it stands.
fn strike_keys(body: &[u8]) -> Vec<u8> {
    let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
    let (mut struck, mut rest) = (Vec::with_capacity(body.len()), body);
    while let Some(at) = rest.windows(KEY_PREFIX.len()).position(|window| window == KEY_PREFIX.as_bytes()) {
        struck.extend_from_slice(&rest[..at]);
        struck.extend_from_slice(b"[redacted]");
        rest = &rest[at..];
        rest = &rest[rest.iter().take_while(|byte| is_key(byte)).count()..];
    }
    struck.extend_from_slice(rest);
    struck
}

/// Redacts the keys of every callback, and whatever looks like a key elsewhere.
fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "callback" {
                    for key in ["secret", "second_secret"] {
                        let secret = field.get_mut(key).filter(|secret| !secret.is_null());
                        secret.into_iter().for_each(|secret| *secret = json!("[redacted]"));
                    }
                }
                redact(field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) if text.contains(KEY_PREFIX) => {
            *text = String::from_utf8_lossy(&strike_keys(text.as_bytes())).into_owned();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn letter(content_type: Option<&str>, body: impl Into<Bytes>) -> Letter {
        let parked = DeadLetter {
            v: VERSION,
            stage: "classifier".into(),
            subject: "dynode.req.acme.auto".into(),
            content_type: content_type.map(str::to_owned),
            body: body.into(),
            missing_bytes: 0,
            reason: Error::invalid("payload", "is required"),
            deliveries: 1,
            parked_at: Timestamp::UNIX_EPOCH,
        };
        let name = str::to_owned;
        Letter { sequence: 7, stage: name("classifier"), tenant: name("acme"), id: name("r"), parked }
    }

    #[test]
    fn every_body_can_be_read() {
        let value = json!({"id": "r"});
        let pack = Format::MessagePack.encode(&value).unwrap();
        assert_eq!(letter(None, pack).body(), Body::MessagePack(value.clone()));
        assert_eq!(letter(None, r#"{"id":"r"}"#).body(), Body::Json(value));
        assert_eq!(letter(None, "{\"id\":").body(), Body::Text("{\"id\":".into()));
        assert_eq!(letter(None, &[0x82, 0xa1][..]).body(), Body::Hex("82a1".into()));
    }

    #[test]
    fn no_secret_of_a_callback_is_shown() {
        let body = r#"{"request":{"callback":{"url":"https://x","secret":"whsec_canary","second_secret":"whsec_canary"}},"n":[{"callback":1}]}"#;
        for body in [body, &body[..body.len() - 1], r#"{"callback":["whsec_canary"]}"#] {
            let shown = json!(letter(None, body).whole()).to_string();
            assert!(shown.contains("[redacted]") && !shown.contains("canary"), "{shown}");
        }
        let torn = [b"\x82\xff whsec_can+ary/==, whsec_canary".as_slice(), b"!"].concat();
        assert_eq!(letter(None, torn).body(), Body::Hex(hex(b"\x82\xff [redacted], [redacted]!")));
    }
}
