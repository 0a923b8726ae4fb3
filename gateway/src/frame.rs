//! One event as it travels: its head decoded, its body left as the bytes it came in.

use broker::Message;
use bytes::Bytes;
use schemas::{Error, Event, EventHead, Format, Outcome};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::record::FINGERPRINT;

/// `(attempt, seq)`: the order of one request's events.
pub(crate) type Position = (u32, u64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) head: EventHead,
    pub(crate) format: Format,
    pub(crate) payload: Bytes,
    /// The fingerprint of its request, if it says so.
    pub(crate) fingerprint: Option<Box<str>>,
}

impl Frame {
    /// Reads the head of an event; `None` if it is not one.
    pub(crate) fn read(message: &Message) -> Option<Self> {
        let format = message.format();
        let head = format.decode::<EventHead>(&message.payload).ok()?;
        let fingerprint = message.headers.get(FINGERPRINT).map(Box::from);
        Some(Self { head, format, payload: message.payload.clone(), fingerprint })
    }

    /// Encodes `event`.
    pub(crate) fn of(event: &Event, format: Format) -> Result<Self, Error> {
        let head = EventHead { attempt: event.attempt, seq: event.seq, event: event.body.kind() };
        Ok(Self { head, format, payload: format.encode(event)?, fingerprint: None })
    }

    /// The terminal event that `outcome` stands for.
    pub(crate) fn of_outcome(outcome: &Outcome, format: Format) -> Result<Self, Error> {
        let fingerprint = Some(outcome.fingerprint.as_str()).filter(|text| !text.is_empty()).map(Box::from);
        Ok(Self { fingerprint, ..Self::of(&outcome.terminal_event(), format)? })
    }

    pub(crate) const fn position(&self) -> Position {
        (self.head.attempt, self.head.seq)
    }

    /// Whether it belongs to another request than the one with this fingerprint. Two that come at once are both
    /// announced as queued, and only one of them runs.
    pub(crate) fn is_of_another(&self, fingerprint: &str) -> bool {
        let tells = self.head.attempt > 0 || self.head.event.is_terminal();
        tells && self.fingerprint.as_deref().is_some_and(|holder| holder != fingerprint)
    }

    pub(crate) fn event(&self) -> Result<Event, Error> {
        self.format.decode(&self.payload)
    }

    /// Decodes the body, once the head has told its kind: body and head are one flat object, and reading the body alone
    /// avoids buffering it.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.format.decode(&self.payload)
    }

    /// The name of the event, even of one that this build does not know.
    pub(crate) fn name(&self) -> String {
        #[derive(Deserialize)]
        struct Named {
            event: String,
        }
        self.format.decode::<Named>(&self.payload).map_or_else(|_| "unknown".to_owned(), |named| named.event)
    }

    /// The event in `format`: the same bytes if it came in that format.
    pub(crate) fn bytes(&self, format: Format) -> Result<Bytes, Error> {
        if self.format == format {
            return Ok(self.payload.clone());
        }
        // An event of a later version does not decode as an `Event`, and passes as plain data.
        self.event()
            .and_then(|event| format.encode(&event))
            .or_else(|_| self.format.decode::<Value>(&self.payload).and_then(|value| format.encode(&value)))
    }
}

#[cfg(test)]
mod tests {
    use schemas::{EventBody, RequestId};

    use super::*;

    fn event() -> Event {
        let body = EventBody::Running { provider: "sim".into(), model: "m".into() };
        Event { id: RequestId::new("r").unwrap(), attempt: 1, seq: 0, body }
    }

    #[test]
    fn the_same_format_is_the_same_bytes_and_the_other_the_same_event() {
        let packed = Frame::of(&event(), Format::MessagePack).unwrap();
        assert_eq!(packed.bytes(Format::MessagePack).unwrap(), packed.payload);
        let text = packed.bytes(Format::Json).unwrap();
        assert_eq!(Format::Json.decode::<Event>(&text).unwrap(), event());
        assert_eq!(packed.name(), "running");
    }

    #[test]
    fn an_event_of_a_later_version_passes_through() {
        let value = serde_json::json!({"id": "r", "attempt": 1, "seq": 3, "event": "someday", "new": [1]});
        let message = Message::new("s", Format::MessagePack, Format::MessagePack.encode(&value).unwrap());
        let frame = Frame::read(&message).unwrap();
        assert_eq!(frame.name(), "someday");
        assert_eq!(Format::Json.decode::<Value>(&frame.bytes(Format::Json).unwrap()).unwrap(), value);
    }
}
