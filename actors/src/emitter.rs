//! Numbers and publishes the events of one attempt. Only a second attempt waits, once, until its beginning is stored.

use std::sync::Arc;

use broker::{Broker, Headers, Message, Publication};
use schemas::{Event, EventBody, Format, RequestId, Work};
use tracing::{debug, warn};

use crate::{
    classifier::{FINGERPRINT, SESSION},
    outbox::Outbox,
};

/// The header of an event that forgives the previous attempt.
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
    /// The fingerprint of the request; empty if nobody can have sent another under its id.
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

    /// Publishes, before anything else, that earlier events are void, and makes sure that no other attempt has this
    /// number: if one has just taken it, this attempt takes the next.
    pub async fn claim(&mut self, outbox: &Outbox, reason: &str) {
        self.begin(outbox, reason, false).await;
    }

    /// The same for an attempt that exists only to forgive the previous one, which ended by no fault of the work.
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
                // Others cannot publish theirs either while the stream of events refuses it.
                Err(error) => {
                    return warn!(%error, subject = self.subject, "cannot publish the beginning of an attempt");
                }
            }
        }
    }

    /// Sends one event. An event that cannot be sent is dropped: the outcome says everything in the end.
    pub async fn emit(&mut self, body: EventBody) {
        let Some(message) = self.write(body) else { return };
        if let Err(error) = self.broker.send(message).await {
            debug!(%error, subject = self.subject, "event not sent");
        }
    }

    /// The next event, as a message.
    fn write(&mut self, body: EventBody) -> Option<Message> {
        let event = Event { id: self.id.clone(), attempt: self.attempt, seq: self.next_seq, body };
        self.next_seq += 1;
        let payload =
            self.format.encode(&event).inspect_err(|error| debug!(%error, "event not encoded")).ok()?;
        let mut headers = Headers::of_format(self.format);
        // Deltas follow an event that has it, are many, and must be short.
        if !matches!(event.body, EventBody::ChatDelta(_)) && !self.fingerprint.is_empty() {
            headers.set(FINGERPRINT, self.fingerprint.as_str());
        }
        if let Some(session) = &self.session {
            headers.set(SESSION, session.as_str());
        }
        Some(Message { subject: self.subject.clone(), headers, payload })
    }
}
