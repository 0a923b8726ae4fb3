//! One parked message: read from its stream, and shown to people. Never shows a callback's secret.

use broker::{Stored, message::CONTENT_TYPE};
use jiff::Timestamp;
use schemars::JsonSchema;
use schemas::{CallbackJob, DeadLetter, Error, ErrorCode, Format, Subjects, VERSION};
use serde::Serialize;
use serde_json::{Value, json};

/// A parked message, and where it lies.
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
    /// Names the letter.
    pub(super) sequence: u64,
    /// When it was parked.
    parked_at: Timestamp,
    /// Who parked it.
    stage: String,
    /// Whose it is; `unknown` where its sender could not be read.
    tenant: String,
    /// The id of the request, or of the message.
    id: String,
    /// Why it was parked.
    code: ErrorCode,
    /// Why it was parked, for people.
    message: String,
    /// Where it was published.
    subject: String,
    /// How often it was delivered.
    deliveries: u32,
    /// How long its body is.
    bytes: usize,
}

/// All of a letter, its body in a form that people can read.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeadLetter")]
pub(crate) struct Whole {
    #[serde(flatten)]
    summary: Summary,
    /// The error with which it was parked.
    reason: Error,
    /// The `Content-Type` of the message.
    content_type: Option<String>,
    /// The message, a callback's secret left out.
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
    /// Bytes that are no text, in hexadecimal.
    Hex(String),
}

impl Letter {
    /// Reads a letter; `None` where the subject is not that of one. What cannot be read can still be seen and dropped.
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
                reason: Error::new(ErrorCode::Internal, why),
                deliveries: 0,
                parked_at: stored_at,
            }
        });
        Some(Self { sequence, stage, tenant, id, parked })
    }

    /// The id belongs to another request, whether that has ended or not.
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

    /// Everything, the body in a form that people can read.
    pub(super) fn whole(&self) -> Whole {
        let DeadLetter { reason, content_type, .. } = &self.parked;
        let (summary, reason, content_type) = (self.summary(), reason.clone(), content_type.clone());
        Whole { summary, reason, content_type, body: self.body() }
    }

    fn body(&self) -> Body {
        let (format, body) = (self.format(), &self.parked.body);
        // The vectors of a callback job are bytes, for which JSON has no value of its own.
        let job = || format.decode::<CallbackJob>(body).ok().and_then(|job| serde_json::to_value(job).ok());
        match format.decode::<Value>(body).ok().or_else(job) {
            Some(mut value) => {
                redact(&mut value);
                match format {
                    Format::Json => Body::Json(value),
                    Format::MessagePack => Body::MessagePack(value),
                }
            }
            None => match std::str::from_utf8(body) {
                Ok(text) => Body::Text(text.to_owned()),
                Err(_) => Body::Hex(body.iter().map(|byte| format!("{byte:02x}")).collect()),
            },
        }
    }
}

/// Takes the key out of every callback.
fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.get_mut("secret") {
                    Some(secret) if name == "callback" && !secret.is_null() => *secret = json!("[redacted]"),
                    _ => redact(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
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
        let body =
            r#"{"request":{"callback":{"url":"https://x","secret":"whsec_canary"}},"n":[{"callback":1}]}"#;
        let shown = json!(letter(None, body).whole()).to_string();
        assert!(shown.contains("[redacted]") && !shown.contains("canary"), "{shown}");
    }
}
