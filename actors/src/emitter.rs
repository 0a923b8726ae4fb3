//! Tells what happens on the way: numbers the events of one attempt and sends them, waiting for nobody.

use std::sync::Arc;

use broker::{Broker, Headers, Message};
use schemas::{Event, EventBody, Format, RequestId};
use tracing::debug;

use crate::classifier::FINGERPRINT;

/// The events of one attempt. `seq` counts from 0 without a gap.
#[derive(Debug)]
pub struct Emitter {
    broker: Arc<dyn Broker>,
    subject: String,
    format: Format,
    id: RequestId,
    attempt: u32,
    next_seq: u64,
    /// Of the request; empty where nobody can have asked for another under its id.
    fingerprint: String,
}

impl Emitter {
    /// Sends to `subject`, in `format`. Whose events they are is said by `fingerprint`.
    pub fn new(
        broker: Arc<dyn Broker>,
        subject: String,
        format: Format,
        id: RequestId,
        attempt: u32,
        fingerprint: String,
    ) -> Self {
        Self { broker, subject, format, id, attempt, next_seq: 0, fingerprint }
    }

    /// The place of the next event.
    pub const fn next(&self) -> (u32, u64) {
        (self.attempt, self.next_seq)
    }

    /// Sends one event. An event that cannot be sent is not held: the outcome says everything in the end.
    pub async fn emit(&mut self, body: EventBody) {
        let event = Event { id: self.id.clone(), attempt: self.attempt, seq: self.next_seq, body };
        self.next_seq += 1;
        let payload = match self.format.encode(&event) {
            Ok(payload) => payload,
            Err(error) => return debug!(%error, "event not encoded"),
        };
        let mut headers = Headers::of_format(self.format);
        // The pieces of an answer follow such an event, are many, and must be short.
        if !matches!(event.body, EventBody::ChatDelta(_)) && !self.fingerprint.is_empty() {
            headers.set(FINGERPRINT, self.fingerprint.as_str());
        }
        let message = Message { subject: self.subject.clone(), headers, payload };
        if let Err(error) = self.broker.send(message).await {
            debug!(%error, subject = self.subject, "event not sent");
        }
    }
}
