//! Tells what happens on the way: numbers the events of one attempt and sends them, waiting for nobody.

use std::sync::Arc;

use broker::{Broker, Message};
use schemas::{Event, EventBody, Format, RequestId};
use tracing::debug;

/// The events of one attempt. `seq` counts from 0 without a gap.
#[derive(Debug)]
pub struct Emitter {
    broker: Arc<dyn Broker>,
    subject: String,
    format: Format,
    id: RequestId,
    attempt: u32,
    next_seq: u64,
}

impl Emitter {
    /// Sends to `subject`, in `format`.
    pub fn new(
        broker: Arc<dyn Broker>,
        subject: String,
        format: Format,
        id: RequestId,
        attempt: u32,
    ) -> Self {
        Self { broker, subject, format, id, attempt, next_seq: 0 }
    }

    /// The place of the next event.
    pub const fn next(&self) -> (u32, u64) {
        (self.attempt, self.next_seq)
    }

    /// Sends one event. An event that cannot be sent is not held: the outcome says everything in the end.
    pub async fn emit(&mut self, body: EventBody) {
        let event = Event { id: self.id.clone(), attempt: self.attempt, seq: self.next_seq, body };
        self.next_seq += 1;
        let sent = match self.format.encode(&event) {
            Ok(payload) => self.broker.send(Message::new(self.subject.clone(), self.format, payload)).await,
            Err(error) => return debug!(%error, "event not encoded"),
        };
        if let Err(error) = sent {
            debug!(%error, subject = self.subject, "event not sent");
        }
    }
}
