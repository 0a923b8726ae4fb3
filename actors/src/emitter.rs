//! Tells what happens on the way: numbers the events of one attempt and sends them. Only a second attempt waits, once,
//! until its beginning is told.

use std::sync::Arc;

use broker::{Broker, Headers, Message, Publication};
use schemas::{Event, EventBody, Format, RequestId, Work};
use tracing::{debug, warn};

use crate::{
    classifier::{FINGERPRINT, SESSION},
    outbox::Outbox,
};

/// The header of an event that forgives the attempt before.
pub const FORGIVEN: &str = "Dynode-Forgiven";

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
    /// The session of the request, if it has one.
    session: Option<RequestId>,
}

impl Emitter {
    /// Sends the events of `work` to `subject`.
    pub fn new(broker: Arc<dyn Broker>, subject: String, work: &Work, attempt: u32) -> Self {
        Self {
            broker,
            subject,
            format: work.format.into(),
            id: work.id.clone(),
            attempt,
            next_seq: 0,
            fingerprint: work.fingerprint.clone(),
            session: work.request.session.clone(),
        }
    }

    /// The place of the next event.
    pub const fn next(&self) -> (u32, u64) {
        (self.attempt, self.next_seq)
    }

    /// Says, before anything else, that what was told before is void, and makes sure that no other attempt says the same
    /// under this number: where one has just done so, this is the one after it.
    pub async fn claim(&mut self, outbox: &Outbox, reason: &str) {
        self.begin(outbox, reason, false).await;
    }

    /// Says the same of an attempt that follows only to say that the one before is forgiven: it ended by no fault of the work.
    pub async fn forgive(&mut self, outbox: &Outbox, reason: &str) {
        self.begin(outbox, reason, true).await;
    }

    async fn begin(&mut self, outbox: &Outbox, reason: &str, forgives: bool) {
        loop {
            let Some(mut message) = self.write(EventBody::Restarted { reason: reason.to_owned() }) else {
                return;
            };
            if forgives {
                message.headers.set(FORGIVEN, "1");
            }
            let id = Some(format!("{}.{}", self.subject, self.attempt));
            match outbox.publish(Publication { message, id }).await {
                Ok(receipt) if receipt.duplicate => {
                    (self.attempt, self.next_seq) = (self.attempt.saturating_add(1), 0);
                }
                Ok(_) => return,
                // Others cannot tell theirs either, for as long as the stream of events does not take it.
                Err(error) => {
                    return warn!(%error, subject = self.subject, "the beginning of an attempt is not told");
                }
            }
        }
    }

    /// Sends one event. An event that cannot be sent is not held: the outcome says everything in the end.
    pub async fn emit(&mut self, body: EventBody) {
        let Some(message) = self.write(body) else { return };
        if let Err(error) = self.broker.send(message).await {
            debug!(%error, subject = self.subject, "event not sent");
        }
    }

    /// The next event, as it travels.
    fn write(&mut self, body: EventBody) -> Option<Message> {
        let event = Event { id: self.id.clone(), attempt: self.attempt, seq: self.next_seq, body };
        self.next_seq += 1;
        let payload =
            self.format.encode(&event).inspect_err(|error| debug!(%error, "event not encoded")).ok()?;
        let mut headers = Headers::of_format(self.format);
        // The pieces of an answer follow such an event, are many, and must be short.
        if !matches!(event.body, EventBody::ChatDelta(_)) && !self.fingerprint.is_empty() {
            headers.set(FINGERPRINT, self.fingerprint.as_str());
        }
        if let Some(session) = &self.session {
            headers.set(SESSION, session.as_str());
        }
        Some(Message { subject: self.subject.clone(), headers, payload })
    }
}
