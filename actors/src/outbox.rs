//! Publishes what the engine writes: next steps, outcomes, parked work. Everything is stored before its cause is acked,
//! with an id that makes a repeat harmless.

use std::{sync::Arc, time::Duration};

use broker::{
    Broker, ErrorKind, Headers, Lease, Message, Publication, Receipt, Seams, Stored, Topology, trace,
};
use bytes::Bytes;
use jiff::Timestamp;
use schemas::{
    Callback, CallbackJob, DeadLetter, Error, ErrorCode, Event, EventBody, EventHead, Format, LedgerEntry,
    Outcome, RequestId, Status, Tenant, VERSION, Work, census::ENTRANCE,
};
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::{
    backoff::Backoff,
    classifier::{FINGERPRINT, SESSION},
};

/// How long the engine holds a paid-for result in memory while the broker does not take it.
const PATIENCE: Duration = Duration::from_secs(300);
const RETRY_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
/// How many outcomes or ledger entries to drop at once when there is no room: enough that this is rare, few compared
/// with what is kept.
const MESSAGES_TRIMMED: u64 = 1_000;
/// The same for parked requests, each of which may be as large as the broker takes.
const LETTERS_DROPPED: u32 = 8;
/// Room for subject and headers within the broker's maximum message size.
const MESSAGE_OVERHEAD_BYTES: usize = 4096;

/// How a request ends.
#[derive(Debug)]
pub struct Conclusion {
    /// The outcome.
    pub outcome: Outcome,
    /// The format of the request, and so of its answer.
    pub format: Format,
    /// Where to deliver it.
    pub callback: Option<Callback>,
    /// Set if the outcome was read back from the broker, where it stands: the `(attempt, seq)` of the end to publish.
    pub recorded: Option<(u32, u64)>,
}

/// A message to be parked.
#[derive(Debug)]
pub struct Parked {
    /// Its tenant, as far as known.
    pub tenant: String,
    /// Its id, or a name made from its place in the stream.
    pub id: String,
    /// Why.
    pub reason: Error,
    /// How its request ends.
    pub conclusion: Option<Box<Conclusion>>,
}

/// Writes to the broker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    broker: Arc<dyn Broker>,
    topology: Arc<Topology>,
    seams: Seams,
    message_bytes_max: usize,
}

impl Outbox {
    /// Writes to `broker`.
    pub fn new(broker: Arc<dyn Broker>, topology: Arc<Topology>, seams: Seams) -> Self {
        let message_bytes_max = broker.describe().message_bytes_max.saturating_sub(MESSAGE_OVERHEAD_BYTES);
        Self { broker, topology, seams, message_bytes_max }
    }

    /// The broker itself, for operations that need no promise.
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(&self.broker)
    }

    /// The streams.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Time and randomness.
    pub const fn seams(&self) -> &Seams {
        &self.seams
    }

    /// How long a write may take before the outbox gives it up.
    pub const fn patience(&self) -> Duration {
        PATIENCE
    }

    /// Stores a message; retries with the same id while the broker does not answer.
    pub async fn publish(&self, publication: Publication) -> Result<Receipt, broker::Error> {
        let started = Instant::now();
        let mut failures = 0;
        loop {
            match self.broker.publish(publication.clone()).await {
                Err(error) if error.is_transient() && started.elapsed() < PATIENCE => {
                    failures += 1;
                    self.before_next_try(&publication, &error, failures).await;
                }
                answer => return answer,
            }
        }
    }

    /// Waits, unless room could be made.
    async fn before_next_try(&self, publication: &Publication, error: &broker::Error, failures: u32) {
        let subject = &publication.message.subject;
        if error.kind() == ErrorKind::Full
            && let Some(what) = self.expendable(subject)
        {
            warn!(%error, "no room is left for {what}: the oldest are deleted before their time");
            match self.make_room(subject).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => warn!(%error, "no room could be made for {what}"),
            }
        }
        warn!(%error, subject, failures, "message not stored; trying again");
        sleep(RETRY_BACKOFF.delay(failures, self.seams.fraction())).await;
    }

    /// What may be dropped from the stream of `subject`: full outcomes or letters, or a full ledger, must not stop the
    /// work. A full stream of work drops nothing; its publishers have to wait.
    fn expendable(&self, subject: &str) -> Option<&'static str> {
        let Topology { ledger, subjects, .. } = &*self.topology;
        if subjects.parse_request_key("res", subject).is_some() {
            Some("outcomes")
        } else if subjects.parse_dead(subject).is_some() {
            Some("parked messages")
        } else {
            ledger.as_ref().filter(|_| subjects.is_ledger(subject)).map(|_| "entries of the ledger")
        }
    }

    /// Drops the oldest messages of the stream of `subject`; returns whether there was anything to drop.
    async fn make_room(&self, subject: &str) -> Result<bool, broker::Error> {
        let Topology { outcomes, ledger, subjects, .. } = &*self.topology;
        let stream = match ledger {
            _ if subjects.parse_dead(subject).is_some() => return self.drop_letters().await,
            Some(ledger) if subjects.is_ledger(subject) => ledger,
            _ => outcomes,
        };
        self.broker.trim(stream, MESSAGES_TRIMMED).await.map(|()| true)
    }

    /// Drops the classifier's oldest letters. Most are refused requests, which have an outcome; of a message under
    /// another request's id, or of no readable tenant, nothing else is kept. All other letters, callbacks above all, wait
    /// to be replayed.
    async fn drop_letters(&self) -> Result<bool, broker::Error> {
        let Topology { dead, subjects, .. } = &*self.topology;
        let pattern = subjects.dead_of(Some(ENTRANCE), "*");
        for dropped in 0..LETTERS_DROPPED {
            let Some(oldest) = self.broker.first_since(dead, &pattern, Timestamp::UNIX_EPOCH).await? else {
                return Ok(dropped > 0);
            };
            match self.broker.remove(dead, oldest).await {
                // Another engine makes room as well.
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(true)
    }

    /// Fails with the size of a message that is larger than the broker takes.
    pub(crate) fn check_size(&self, publication: &Publication) -> Result<(), Error> {
        let (bytes, bytes_max) = (publication.message.payload.len(), self.message_bytes_max);
        if bytes <= bytes_max {
            return Ok(());
        }
        let why = format!(
            "queued for its provider, the request has {bytes} bytes, but the broker takes at most {bytes_max}; ask for less at once"
        );
        Err(Error::new(ErrorCode::TooLarge, why))
    }

    /// Records an outcome, hands its callback to delivery, publishes its end, and writes its usage into the ledger. The
    /// first outcome stands: if there is one already, that one is delivered, published and returned.
    pub async fn conclude(&self, conclusion: Conclusion) -> Result<Outcome, broker::Error> {
        let Conclusion { outcome, format, callback, recorded } = conclusion;
        let own_end = recorded.unwrap_or(outcome.ended);
        let outcome = if recorded.is_some() { outcome } else { self.record(outcome, format).await? };
        // Both at once: nobody waits for the ledger.
        let told = async {
            if let Some(callback) = callback {
                self.hand_to_delivery(callback, &outcome).await?;
            }
            self.tell_end(&outcome, own_end, format).await
        };
        tokio::try_join!(told, self.write_ledger(&outcome))?;
        Ok(outcome)
    }

    async fn tell_end(
        &self,
        outcome: &Outcome,
        own_end: (u32, u64),
        format: Format,
    ) -> Result<(), broker::Error> {
        let subject = self.topology.subjects.event(&outcome.tenant, &outcome.id);
        for event in end_after(outcome, own_end) {
            let mut message = Message::new(subject.clone(), format, encode(format, &event)?);
            if !outcome.fingerprint.is_empty() {
                message.headers.set(FINGERPRINT, outcome.fingerprint.as_str());
            }
            if let Some(session) = &outcome.session {
                message.headers.set(SESSION, session.as_str());
            }
            if let Err(error) = self.broker.send(message).await {
                // If the event does not come, readers find the recorded outcome.
                warn!(%error, id = %outcome.id, "end of a request not told");
            }
        }
        Ok(())
    }

    /// Writes the usage of a request whose outcome stands. A repeat writes the same entry, and the first stands.
    async fn write_ledger(&self, outcome: &Outcome) -> Result<(), broker::Error> {
        let Some(entry) = LedgerEntry::of(outcome).filter(|_| self.topology.ledger.is_some()) else {
            return Ok(());
        };
        let (subject, id) = (self.topology.subjects.ledger(&entry.tenant), Some(entry.message_id()));
        let message = message(subject, Format::MessagePack, encode(Format::MessagePack, &entry)?);
        self.publish(Publication { message, id }).await.map(drop)
    }

    /// Returns the outcome that stands.
    async fn record(&self, mut outcome: Outcome, format: Format) -> Result<Outcome, broker::Error> {
        let mut payload = encode(format, &outcome)?;
        if payload.len() > self.message_bytes_max {
            outcome = too_large(outcome, payload.len(), self.message_bytes_max);
            payload = encode(format, &outcome)?;
        }
        let subject = self.topology.subjects.outcome(&outcome.tenant, &outcome.id);
        // A repeat of this very outcome is a duplicate; another must meet `Exists`, so that the one that stands is
        // published.
        let Outcome { tenant, id, ended, fingerprint, .. } = &outcome;
        let id = format!("{tenant}.{id}.{}.{fingerprint}", ended.0);
        let message = message(subject, format, payload);
        match self.publish(Publication { message, id: Some(id) }).await {
            Ok(receipt) if !receipt.duplicate => Ok(outcome),
            Err(error) if error.kind() != ErrorKind::Exists => Err(error),
            // One stands already. A duplicate may also be of another attempt, if a number came twice.
            _ => Ok(self.outcome(&outcome.tenant, &outcome.id).await?.unwrap_or(outcome)),
        }
    }

    async fn hand_to_delivery(&self, callback: Callback, outcome: &Outcome) -> Result<(), broker::Error> {
        let subject = self.topology.subjects.callback(&outcome.tenant, &outcome.id);
        let job = CallbackJob { callback, outcome: outcome.clone() };
        let message = message(subject, Format::MessagePack, encode(Format::MessagePack, &job)?);
        let id = Some(format!("{}.{}", outcome.tenant, outcome.id));
        self.publish(Publication { message, id }).await.map(drop)
    }

    /// The broker's clock: a request is accepted and its deadline passes by this clock.
    pub fn now(&self) -> Timestamp {
        self.broker.now()
    }

    /// The recorded outcome of a request.
    pub async fn outcome(&self, tenant: &Tenant, id: &RequestId) -> Result<Option<Outcome>, broker::Error> {
        let subject = self.topology.subjects.outcome(tenant, id);
        let Some(Stored { message, .. }) = self.broker.last(&self.topology.outcomes, &subject).await? else {
            return Ok(None);
        };
        let unreadable = |error: Error| {
            broker::Error::new(ErrorKind::Invalid, format!("the outcome on {subject} is unreadable: {error}"))
        };
        message.format().decode(&message.payload).map(Some).map_err(unreadable)
    }

    /// The last event of a request, if the broker still has it.
    pub async fn last_told(
        &self,
        tenant: &Tenant,
        id: &RequestId,
    ) -> Result<Option<(Stored, EventHead)>, broker::Error> {
        let subject = self.topology.subjects.event(tenant, id);
        let last = match self.broker.last(&self.topology.events, &subject).await {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            last => last?,
        };
        Ok(last.and_then(|stored| {
            let head = stored.message.format().decode(&stored.message.payload).ok()?;
            Some((stored, head))
        }))
    }

    /// Parks a message verbatim, with the reason; cuts a body that would make the letter too large.
    pub async fn park(&self, stage: &str, lease: &Lease, parked: &Parked) -> Result<(), broker::Error> {
        let mut letter = DeadLetter {
            v: VERSION,
            stage: stage.to_owned(),
            subject: lease.message.subject.clone(),
            content_type: lease.message.headers.get(broker::message::CONTENT_TYPE).map(Into::into),
            body: lease.message.payload.clone(),
            missing_bytes: 0,
            reason: parked.reason.clone(),
            deliveries: lease.deliveries,
            parked_at: self.seams.clock.now(),
        };
        let subject = self.topology.subjects.dead(stage, &parked.tenant, &parked.id);
        let mut payload = encode(Format::MessagePack, &letter)?;
        let excess = payload.len().saturating_sub(self.message_bytes_max).min(letter.body.len());
        if excess > 0 {
            letter.body.truncate(letter.body.len() - excess);
            letter.missing_bytes = excess as u64;
            payload = encode(Format::MessagePack, &letter)?;
        }
        let message = message(subject, Format::MessagePack, payload);
        let id = Some(format!("{stage}.{}.{}", parked.id, lease.sequence));
        self.publish(Publication { message, id }).await.map(drop)
    }
}

/// The events that publish the end, for readers that may have seen all before `own_end`. An older attempt's outcome,
/// written while a newer attempt ran, is published as the newer one's end: readers drop an older attempt's frames.
fn end_after(outcome: &Outcome, own_end: (u32, u64)) -> Vec<Event> {
    let end = outcome.terminal_event();
    if outcome.ended.0 >= own_end.0 {
        return vec![end];
    }
    let (attempt, seq) = own_end;
    let reason = format!("attempt {} had ended the request before", outcome.ended.0);
    let restarted = Event { id: outcome.id.clone(), attempt, seq, body: EventBody::Restarted { reason } };
    vec![restarted, Event { attempt, seq: seq + 1, ..end }]
}

/// `work`, for the pool that does it first; `subject` names the lane.
pub fn work<R: Serialize>(subject: String, work: &Work<R>) -> Result<Publication, broker::Error> {
    let payload = encode(Format::MessagePack, work)?;
    Ok(Publication {
        message: message(subject, Format::MessagePack, payload),
        id: Some(format!("{}.{}", work.tenant, work.id)),
    })
}

/// A message in `format` that carries the trace on.
pub fn message(subject: String, format: Format, payload: Bytes) -> Message {
    let mut headers = Headers::of_format(format);
    trace::inject(&mut headers);
    Message { subject, headers, payload }
}

/// Encodes `value` in `format`.
pub fn encode<T: Serialize>(format: Format, value: &T) -> Result<Bytes, broker::Error> {
    let invalid = |error: Error| broker::Error::new(ErrorKind::Invalid, error.message);
    format.encode(value).map_err(invalid)
}

fn too_large(outcome: Outcome, bytes: usize, bytes_max: usize) -> Outcome {
    let message =
        format!("the answer has {bytes} bytes and the broker takes {bytes_max}; ask for less at once");
    let error = Some(Error::new(ErrorCode::TooLarge, message));
    Outcome { status: Status::Failed, output: None, error, ..outcome }
}
