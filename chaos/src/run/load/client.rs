//! One request and all that its sender does: sends it, repeats it under the same id, cancels it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use parking_lot::Mutex;
use schemas::ErrorCode;
use tokio::time::{Instant, sleep};

use super::{Ground, bus, http, openai, reader::Reader, socket};
use crate::{
    history::{Door, Fact},
    workload::{Planned, Reading, Repeat, Wire},
};

/// How long after its deadline a client still waits for the end: the engine's recovery time, and a little more.
const PATIENCE: Duration = Duration::from_secs(20);
/// The pause before reconnecting.
pub(super) const RECONNECT: Duration = Duration::from_millis(300);
/// One in this many plain chats over HTTP goes through the door of OpenAI's API.
const OPENAI_ONE_IN: u64 = 2;

/// The sender of one request.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) ground: Arc<Ground>,
    pub(super) planned: Planned,
    number: u64,
    known: Mutex<Known>,
}

/// What the sender knows of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It has received no answer.
    Nothing,
    /// A send was lost on the way there or back: the request may run.
    Unclear,
    Accepted,
    Refused,
}

/// One send of the request.
#[derive(Debug, Clone)]
pub(super) struct Sending {
    /// The door to use.
    pub(super) door: Door,
    /// Whether the payload is another.
    pub(super) other: bool,
    /// How to read the events.
    pub(super) reading: Reading,
    /// How long the sender waits.
    pub(super) give_up: Instant,
    /// The number of this send.
    pub(super) index: usize,
}

impl Client {
    pub(super) fn new(ground: Arc<Ground>, number: u64, planned: Planned) -> Self {
        Self { ground, planned, number, known: Mutex::new(Known::Nothing) }
    }

    /// Runs the client to its end.
    pub(super) async fn run(self) {
        let first = self.sending(0, self.planned.door, false, self.planned.reading);
        let repeats =
            self.planned.repeats.iter().enumerate().map(|(index, repeat)| self.repeat(index, *repeat));
        tokio::join!(self.send(first), join_all(repeats), self.cancel());
        if matches!(*self.known.lock(), Known::Nothing | Known::Unclear) {
            let why = "no answer came before its sender gave up".to_owned();
            self.write(Fact::Unclear { request: self.planned.key.clone(), why });
        }
    }

    async fn repeat(&self, index: usize, repeat: Repeat) {
        sleep(Duration::from_millis(repeat.after_ms)).await;
        self.send(self.sending(index + 1, repeat.door, !repeat.same, Reading::Follow)).await;
    }

    async fn cancel(&self) {
        let Some(after) = self.planned.cancel_after_ms else { return };
        sleep(Duration::from_millis(after)).await;
        self.write(Fact::Cancelled { request: self.planned.key.clone() });
        match self.planned.door {
            Door::Bus => bus::cancel(self).await,
            Door::Http => http::cancel(self).await,
            Door::Socket => socket::cancel(self).await,
        }
    }

    fn sending(&self, index: usize, door: Door, other: bool, reading: Reading) -> Sending {
        let give_up = Instant::now() + Duration::from_millis(self.planned.deadline_ms) + PATIENCE;
        Sending { door, other, reading, give_up, index }
    }

    async fn send(&self, sending: Sending) {
        self.ground.tally.sent.add();
        let sent = Fact::Sent {
            request: self.planned.key.clone(),
            door: sending.door,
            deadline_ms: self.planned.deadline_ms,
            callback: self.planned.callback,
            fingerprint: self.planned.fingerprint(sending.other),
        };
        self.write_of(&sending, sent);
        let mut reader = Reader::new(self, &sending);
        match sending.door {
            Door::Bus => bus::send(self, &sending, &mut reader).await,
            Door::Http if self.is_openai(&sending) => openai::send(self, &sending, &mut reader).await,
            Door::Http => http::send(self, &sending, &mut reader).await,
            Door::Socket => socket::send(self, &sending, &mut reader).await,
        }
    }

    /// Whether it goes through the door of OpenAI's API, which supports neither callbacks nor resume.
    fn is_openai(&self, sending: &Sending) -> bool {
        let plan = &self.planned;
        let is_plain = plan.bad.is_none() && !plan.callback && plan.format == Wire::Json && !plan.ask.embeds;
        is_plain
            && plan.repeats.is_empty()
            && sending.reading == Reading::Follow
            && self.number.is_multiple_of(OPENAI_ONE_IN)
    }

    /// The gateway for try number `tries`.
    pub(super) fn gateway(&self, tries: usize) -> SocketAddr {
        let doors = &self.ground.doors;
        let at = usize::try_from(self.number).unwrap_or_default().wrapping_add(tries);
        doors[at % doors.len()]
    }

    /// Its name in the history.
    pub(super) fn name(&self) -> String {
        format!("client {}", self.number)
    }

    pub(super) fn write(&self, fact: Fact) {
        self.ground.scribe.write(self.name(), fact);
    }

    /// Records what a send was told. Each send has its own name, to tell which one an answer belongs to.
    fn write_of(&self, sending: &Sending, fact: Fact) {
        let name = match sending.index {
            0 => self.name(),
            repeat => format!("{}, again {repeat}", self.name()),
        };
        self.ground.scribe.write(name, fact);
    }

    /// Records that the request was accepted.
    pub(super) fn accepted(&self, sending: &Sending) {
        let mut known = self.known.lock();
        if !matches!(*known, Known::Accepted) {
            *known = Known::Accepted;
            drop(known);
            self.ground.tally.accepted.add();
            self.ground.accepted.lock().push(self.planned.key.clone());
            self.write_of(sending, Fact::Accepted { request: self.planned.key.clone() });
        }
    }

    /// Records a lost send: nobody knows whether the request will run.
    pub(super) fn unclear(&self) {
        let mut known = self.known.lock();
        if matches!(*known, Known::Nothing) {
            *known = Known::Unclear;
        }
    }

    /// Records a refusal. Returns whether it is final: after a lost send, it says nothing about that send, and the
    /// sender retries. `internal` is no refusal: a server that answers it does not know what became of the request.
    pub(super) fn refused(&self, error: &schemas::Error, sending: &Sending) -> bool {
        let request = self.planned.key.clone();
        let text = error.message.clone();
        self.write(Fact::Body { request: request.clone(), place: "error".into(), text });
        if error.code == ErrorCode::Internal {
            self.unclear();
            return false;
        }
        if *self.known.lock() == Known::Unclear && error.code != ErrorCode::Conflict && error.retryable {
            return false;
        }
        if sending.index == 0 && *self.known.lock() == Known::Nothing {
            *self.known.lock() = Known::Refused;
        }
        self.ground.tally.refused.add();
        let (code, retry_after_ms) = (error.code, error.retry_after_ms);
        self.write_of(sending, Fact::Refused { request, code, retry_after_ms });
        true
    }
}
