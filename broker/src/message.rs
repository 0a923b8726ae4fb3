//! Messages, headers, receipts.

use std::borrow::Cow;

use bytes::Bytes;
use jiff::Timestamp;
use schemas::Format;

/// The header that names the format of a body.
pub const CONTENT_TYPE: &str = "Content-Type";
/// The header by which JetStream recognises repeats.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";
/// The header in which a bell gives the sequence of the message that it rings for.
pub const SEQUENCE: &str = "Nats-Sequence";
/// The header that makes a stream store a message only if the last one on its subject has this sequence; 0 is none.
pub const LAST_OF_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence";
/// The header of the W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// Header names that need no copy.
const KNOWN: [&str; 5] = [CONTENT_TYPE, MESSAGE_ID, SEQUENCE, LAST_OF_SUBJECT, TRACEPARENT];

/// The headers of a message: a list, because they are few. Names compare without case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(Cow<'static, str>, String)>);

impl Headers {
    /// No headers.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The headers of a body in `format`.
    pub fn of_format(format: Format) -> Self {
        Self(vec![(CONTENT_TYPE.into(), format.content_type().to_owned())])
    }

    /// Headers as a broker delivers them: no name occurs twice, and no value has a line break.
    pub(crate) fn of_distinct<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let own = |name: &str| match KNOWN.iter().find(|known| **known == name) {
            Some(known) => Cow::Borrowed(*known),
            None => Cow::Owned(name.to_owned()),
        };
        Self(pairs.into_iter().map(|(name, value)| (own(name), value.to_owned())).collect())
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Sets `name` to `value`, replacing an earlier value. Drops line breaks, so that no value can add a header.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let (name, mut value) = (name.into(), value.into());
        value.retain(|c| c != '\r' && c != '\n');
        self.0.retain(|(have, _)| !have.eq_ignore_ascii_case(&name));
        self.0.push((name, value));
    }

    /// The same headers with one more.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// All headers, in the order they were set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A message on a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The subject it is on.
    pub subject: String,
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub payload: Bytes,
}

impl Message {
    /// A message in `format`.
    pub fn new(subject: impl Into<String>, format: Format, payload: Bytes) -> Self {
        Self { subject: subject.into(), headers: Headers::of_format(format), payload }
    }

    /// The same message, to be stored only if its subject has none. Subscribers get it in any case.
    #[must_use]
    pub fn only_as_first(mut self) -> Self {
        self.headers.set(LAST_OF_SUBJECT, "0");
        self
    }

    /// The sequence of the message that this bell rings for; none if the bell does not say.
    pub fn rings_for(&self) -> Option<u64> {
        self.headers.get(SEQUENCE)?.parse().ok()
    }

    /// The format of the body, by `Content-Type` or by its first byte.
    pub fn format(&self) -> Format {
        Format::detect(self.headers.get(CONTENT_TYPE), &self.payload)
    }
}

/// A message to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The message.
    pub message: Message,
    /// The id by which the stream recognises a repeat within its window. Deterministic, so that any retry is safe.
    pub id: Option<String>,
}

/// The broker has stored a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its sequence number in the stream; for a repeat, that of the first message.
    pub sequence: u64,
    /// The broker knew the id and stored nothing new.
    pub duplicate: bool,
}

/// A message read back from a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The message.
    pub message: Message,
    /// Its sequence number in the stream.
    pub sequence: u64,
    /// When the broker stored it.
    pub stored_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_compare_without_case_and_values_hold_no_line_breaks() {
        let headers = Headers::new().with("Content-Type", "a").with("content-type", "b\r\nEvil: 1");
        assert_eq!(headers.get("CONTENT-TYPE"), Some("bEvil: 1"));
        assert_eq!(headers.iter().count(), 1);
    }
}
