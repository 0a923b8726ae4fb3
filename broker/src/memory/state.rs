//! The whole state of a memory broker: streams, subscriptions, buckets. Pure: time and randomness are passed in, and
//! nothing in here waits.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    bucket::Values,
    class::FaultClass,
    effects::Effects,
    faults::{Fault, Place, RuleId},
    freeze::Frozen,
    hold::Hold,
    log::{Event, Name},
    outage::Down,
    promise,
    settle::Settling,
    stream::{Moment, Stream},
    subscriber::Subscribers,
    sync::Sync,
};
use crate::subject::Index;
use crate::{
    BucketSpec, Error, ErrorKind, Headers, Message, Publication, Receipt, StreamSpec,
    message::{MESSAGE_ID, SEQUENCE},
};

/// Everything that one memory broker holds.
#[derive(Debug)]
pub(super) struct State {
    pub(super) streams: Vec<Stream>,
    pub(super) subscribers: Subscribers,
    pub(super) buckets: BTreeMap<String, Values>,
    pub(super) effects: Effects,
    /// Why the link is down, if it is.
    pub(super) down: Down,
    /// Whether streams and buckets are off.
    pub(super) disabled: bool,
    /// What was sent to a frozen broker.
    pub(super) frozen: Option<Frozen>,
    /// Settlements that a fault delays.
    pub(super) late: Hold<Settling>,
    /// The rules of the fault classes that are on.
    pub(super) switched: BTreeMap<FaultClass, Option<RuleId>>,
    sync: Sync,
    // Which stream captures a subject: at most one, because the patterns of two streams never overlap.
    captures: Index<usize>,
}

impl State {
    /// No streams, no subscriptions, no buckets.
    pub(super) fn new(subscribers: Subscribers, effects: Effects, sync: Sync) -> Self {
        Self {
            streams: Vec::new(),
            subscribers,
            buckets: BTreeMap::new(),
            effects,
            down: Down::default(),
            disabled: false,
            frozen: None,
            late: Hold::default(),
            switched: BTreeMap::new(),
            sync,
            captures: Index::default(),
        }
    }

    /// Creates missing streams, brings the others to these limits, and refuses streams with a weaker promise.
    pub(super) fn ensure(&mut self, specs: &[StreamSpec]) -> Result<(), Error> {
        for spec in specs {
            let invalid =
                |why: String| Error::new(ErrorKind::Invalid, format!("stream {}: {why}", spec.name));
            let patterns = promise::patterns(spec).map_err(invalid)?;
            for other in self.streams.iter().filter(|stream| stream.spec.name != spec.name) {
                let theirs = promise::patterns(&other.spec).map_err(invalid)?;
                if theirs.iter().any(|their| patterns.iter().any(|ours| ours.overlaps(their))) {
                    return Err(invalid(format!("its subjects overlap those of stream {}", other.spec.name)));
                }
            }
            let existing = self.streams.iter().position(|stream| stream.spec.name == spec.name);
            let index = if let Some(index) = existing {
                let have = &mut self.streams[index].spec;
                let merged = promise::merged(have, spec).map_err(invalid)?;
                for pattern in promise::patterns(have).map_err(invalid)? {
                    self.captures.remove(&pattern, index);
                }
                *have = merged;
                index
            } else {
                self.streams.push(Stream::new(spec.clone(), self.sync));
                self.streams.len() - 1
            };
            for pattern in &patterns {
                self.captures.insert(pattern, index);
            }
        }
        Ok(())
    }

    /// Stores a message, and gives it to its subscribers. As in NATS they hear it even if the stream refuses it.
    /// Returns with the receipt the fault, if one struck, that the caller has to act out.
    pub(super) fn publish(
        &mut self,
        publication: Publication,
        at: Moment,
    ) -> Result<(Receipt, Option<Fault>), Error> {
        let Publication { mut message, id } = publication;
        if let Some(id) = id {
            message.headers.set(MESSAGE_ID, id);
        }
        let fault = self.admit(&message, at)?;
        let lost_ack = (fault == Some(Fault::LoseAck)).then(|| Name::of(&message, None));
        if let Some(refusal) = self.refusal(fault, || format!("publish to {}", message.subject)) {
            return Err(self.effects.refused(&message, refusal, at.now));
        }
        let Some(stream) = self.captures(&message.subject) else {
            let what = format!("publish to {}: no stream takes it", message.subject);
            return Err(self.effects.refused(&message, Error::new(ErrorKind::NotFound, what), at.now));
        };
        let receipt = self.store(stream, message, at)?;
        if let Some(name) = lost_ack {
            let lost = Error::new(ErrorKind::Timeout, format!("publish to {}: no answer", name.subject));
            self.effects.counters.acks_lost += 1;
            let sequence = Some(receipt.sequence);
            self.effects.log.record(at.now, || Event::AckLost(Name { sequence, ..name }));
            return Err(lost);
        }
        Ok((receipt, fault))
    }

    /// Gives a message to its subscribers, and to the stream that captures its subject, if there is one. The sender
    /// does not learn whether the stream stores it.
    pub(super) fn send(&mut self, message: Message, at: Moment) {
        let Ok(fault) = self.admit(&message, at) else { return };
        let Some(stream) = self.captures(&message.subject) else { return };
        if let Some(refusal) = self.refusal(fault, || format!("send to {}", message.subject)) {
            self.effects.refused(&message, refusal, at.now);
        } else if self.streams[stream].is_gone() {
            // Nobody notices, so nobody re-creates it.
            self.effects.log.record(at.now, || Event::Lost(Name::of(&message, None)));
        } else {
            // A refusal has been counted and logged.
            let _ = self.store(stream, message, at);
        }
    }

    /// Stores a message in a stream, which rings if it has bells.
    fn store(&mut self, stream: usize, message: Message, at: Moment) -> Result<Receipt, Error> {
        let stream = &mut self.streams[stream];
        stream.revive(at.now, &mut self.effects);
        let bell = stream.spec.bells.as_ref().and_then(|bells| bells.subject(&message.subject));
        let receipt = stream.store(message, at, &mut self.effects)?;
        if let Some(subject) = bell.filter(|_| !receipt.duplicate) {
            let headers = Headers::new().with(SEQUENCE, receipt.sequence.to_string());
            let bell = Message { subject, headers, payload: Bytes::new() };
            self.subscribers.deliver(&bell, at.now, &mut self.effects);
        }
        Ok(receipt)
    }

    /// The stream `name`.
    pub(super) fn stream(&mut self, name: &str) -> Result<(usize, &mut Stream, &mut Effects), Error> {
        let found = self.streams.iter_mut().enumerate().find(|(_, stream)| stream.spec.name == name);
        let (index, stream) =
            found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no stream {name}")))?;
        stream.revive(Instant::now(), &mut self.effects);
        Ok((index, stream, &mut self.effects))
    }

    /// The stream `name`, unless it is deleted: a caller that only removes from a stream does not re-create it.
    pub(super) fn standing(&mut self, name: &str) -> Result<(&mut Stream, &mut Effects), Error> {
        let found = self.streams.iter_mut().find(|stream| stream.spec.name == name && !stream.is_gone());
        let stream =
            found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no stream {name}")))?;
        Ok((stream, &mut self.effects))
    }

    /// Creates a bucket if it is missing.
    pub(super) fn open_bucket(&mut self, spec: &BucketSpec) {
        let sync = self.sync;
        self.buckets.entry(spec.name.clone()).or_insert_with(|| Values::new(spec, sync));
    }

    /// Wakes everybody who waits.
    pub(super) fn ring(&self) {
        self.subscribers.ring();
        for consumer in self.streams.iter().flat_map(|stream| &stream.consumers) {
            consumer.bell.notify_waiters();
        }
    }

    /// Lets a message in, unless a fault stops it, and gives it to its subscribers.
    fn admit(&mut self, message: &Message, at: Moment) -> Result<Option<Fault>, Error> {
        let fault = self.effects.faults.strike(Place::Publish, message, None);
        match fault {
            Some(Fault::Refuse(kind)) if kind != ErrorKind::Full => {
                let refusal = Error::new(kind, format!("publish to {}: a fault", message.subject));
                return Err(self.effects.refused(message, refusal, at.now));
            }
            Some(Fault::Lose) => {
                self.effects.counters.lost += 1;
                self.effects.log.record(at.now, || Event::Lost(Name::of(message, None)));
                let what = format!("publish to {}: no answer", message.subject);
                return Err(Error::new(ErrorKind::Timeout, what));
            }
            _ => {}
        }
        self.subscribers.deliver(message, at.now, &mut self.effects);
        Ok(fault)
    }

    /// The error with which streams refuse everything now, if they do.
    fn refusal(&mut self, fault: Option<Fault>, doing: impl FnOnce() -> String) -> Option<Error> {
        if let Err(off) = self.must_be_enabled(doing) {
            return Some(off);
        }
        matches!(fault, Some(Fault::Refuse(_))).then(|| Error::new(ErrorKind::Full, "a fault says so"))
    }

    /// The stream that captures `subject`.
    fn captures(&self, subject: &str) -> Option<usize> {
        let mut found = Vec::new();
        self.captures.find(subject, &mut found);
        found.first().copied()
    }
}
