//! Looks up what the broker knows of a request: its outcome, that it is under way, or nothing.

use std::collections::{HashMap, VecDeque};

use broker::{Message, Stored, message::MESSAGE_ID};
use futures_util::StreamExt;
use parking_lot::Mutex;
use schemas::{Error, ErrorCode, Outcome, Request, RequestId, Tenant, Work, fingerprint};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{app::Shared, caller::Caller, frame::Frame, refusal};

/// The header that distinguishes requests under the same id; on all events except the pieces of an answer.
pub(crate) const FINGERPRINT: &str = "Dynode-Fingerprint";
/// How many requests are remembered between their acceptance and their first event: a full second at the highest rate.
const RECENT_MAX: usize = 16_384;
/// How many waiting messages are searched for one request: what the broker sends at once.
const LOOKED_AT_MAX: usize = 256;

/// A request, by its event subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) tenant: Tenant,
    pub(crate) id: RequestId,
    /// The subject of its events.
    pub(crate) events: String,
    /// The subject of its outcome.
    pub(crate) outcome: String,
}

impl Key {
    pub(crate) fn new(app: &Shared, caller: &Caller, id: RequestId) -> Self {
        Self::of_tenant(app, caller.tenant.clone(), id)
    }

    pub(crate) fn of_tenant(app: &Shared, tenant: Tenant, id: RequestId) -> Self {
        let subjects = &app.parts.topology.subjects;
        let (events, outcome) = (subjects.event(&tenant, &id), subjects.outcome(&tenant, &id));
        Self { tenant, id, events, outcome }
    }
}

/// What is known of a request.
#[derive(Debug)]
pub(crate) enum Record {
    /// How it ended.
    Ended(Box<Outcome>),
    /// A worker has it.
    Running,
    /// It waits.
    Queued,
    /// It never came, or was forgotten.
    Unknown,
}

/// Looks a request up.
pub(crate) async fn find(app: &Shared, key: &Key) -> Result<Record, Error> {
    let topology = &app.parts.topology;
    let outcome = app.broker().last(&topology.outcomes, &key.outcome);
    let event = app.broker().last(&topology.events, &key.events);
    let (outcome, event) = tokio::join!(outcome, event);
    if let Some(stored) = outcome.map_err(|error| refusal::of_broker(&error))? {
        return read_outcome(&stored).map(|outcome| Record::Ended(Box::new(outcome)));
    }
    let event = event.map_err(|error| refusal::of_broker(&error))?;
    Ok(match event.and_then(|stored| Frame::read(&stored.message)) {
        Some(frame) if frame.head.attempt > 0 => Record::Running,
        Some(_) => Record::Queued,
        None if app.recent.is_stored(&key.events) => Record::Queued,
        None => Record::Unknown,
    })
}

/// Whether a request without a known event may exist nevertheless: not classified yet, or its events were lost. A
/// request only moves forward, so a search along its way does not miss it. `true` if too many wait to look at each.
pub(crate) async fn may_wait(app: &Shared, key: &Key) -> Result<bool, Error> {
    let topology = &app.parts.topology;
    let (incoming, work) =
        (topology.subjects.requests_of(&key.tenant), topology.subjects.work_of(&key.tenant));
    for (stream, pattern) in [(&topology.requests, incoming), (&topology.work, work)] {
        let found = is_among(app, key, stream, &pattern).await;
        if found.map_err(|error| refusal::of_broker(&error))? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn is_among(app: &Shared, key: &Key, stream: &str, pattern: &str) -> Result<bool, broker::Error> {
    let mut waiting = app.broker().replay(stream, pattern, 0).await?;
    let mut seen = 0;
    while let Some(stored) = waiting.next().await {
        seen += 1;
        if seen > LOOKED_AT_MAX || is_of(&stored?.message, key) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether `message` is this request. Its sender may have put the id in the body or in a header.
fn is_of(message: &Message, key: &Key) -> bool {
    #[derive(Deserialize)]
    struct Named {
        id: Option<RequestId>,
    }
    let beside = message.headers.get(MESSAGE_ID);
    let named = || message.format().decode::<Named>(&message.payload).ok().and_then(|named| named.id);
    beside.is_some_and(|beside| {
        beside == key.id.as_str() || beside.strip_prefix(key.tenant.as_str()) == Some(&format!(".{}", key.id))
    }) || named().is_some_and(|id| id == key.id)
}

/// The fingerprint of the work that waits under this id, if any; empty if a door made the id. Work behind many others
/// is not found before it begins.
pub(crate) async fn waiting_fingerprint(app: &Shared, key: &Key) -> Result<Option<String>, Error> {
    let topology = &app.parts.topology;
    let pattern = topology.subjects.work_of(&key.tenant);
    let find = async {
        let waiting = app.broker().replay(&topology.work, &pattern, 0).await?;
        let mut looked_at = waiting.take(LOOKED_AT_MAX);
        while let Some(stored) = looked_at.next().await.transpose()? {
            if is_of(&stored.message, key) {
                return Ok(Some(stored.message));
            }
        }
        Ok(None)
    };
    let message = find.await.map_err(|error| refusal::of_broker(&error))?;
    let work = message.map(|message| message.format().decode::<Work>(&message.payload));
    Ok(work.map(|work| work.map(|work| work.fingerprint).unwrap_or_default()))
}

/// The queue in which a request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// For the classifier.
    Requests,
    /// For the workers.
    Work,
}

/// The fingerprint of the message at `sequence` of a line, if it still waits and has this id; empty if a door made the
/// id.
pub(crate) async fn stored_fingerprint(
    app: &Shared,
    key: &Key,
    line: Line,
    sequence: u64,
) -> Result<Option<String>, Error> {
    let topology = &app.parts.topology;
    let (stream, pattern) = match line {
        Line::Requests => (&topology.requests, topology.subjects.requests_of(&key.tenant)),
        Line::Work => (&topology.work, topology.subjects.work_of(&key.tenant)),
    };
    let first = async {
        let mut waiting = app.broker().replay(stream, &pattern, sequence).await?;
        waiting.next().await.transpose()
    };
    let stored = first.await.map_err(|error| refusal::of_broker(&error))?;
    let message = stored.map(|stored| stored.message).filter(|message| is_of(message, key));
    Ok(message.and_then(|message| match line {
        Line::Requests => read::<Request>(&message).as_ref().map(fingerprint::of),
        Line::Work => read::<Work>(&message).map(|work| work.fingerprint),
    }))
}

fn read<T: DeserializeOwned>(message: &Message) -> Option<T> {
    message.format().decode(&message.payload).ok()
}

/// The fingerprint of the request that holds this id, if it can be known.
pub(crate) async fn fingerprint(app: &Shared, key: &Key, record: &Record) -> Option<String> {
    match record {
        Record::Ended(outcome) => Some(outcome.fingerprint.clone()).filter(|text| !text.is_empty()),
        Record::Unknown => None,
        // The request that this gateway published may have come second: the events take precedence.
        Record::Running | Record::Queued => match told_fingerprint(app, key).await {
            Some(told) => Some(told),
            None => app.recent.fingerprint(&key.events),
        },
    }
}

/// The fingerprint in the events: that of the first event of an attempt, or else of the first `queued`.
async fn told_fingerprint(app: &Shared, key: &Key) -> Option<String> {
    let mut events = app.broker().replay(&app.parts.topology.events, &key.events, 0).await.ok()?;
    let mut queued = None;
    while let Some(Ok(stored)) = events.next().await {
        let Some(Frame { head, fingerprint: Some(told), .. }) = Frame::read(&stored.message) else {
            continue;
        };
        if head.attempt > 0 {
            return Some(told.into());
        }
        queued.get_or_insert(told);
    }
    queued.map(Into::into)
}

/// The outcome of a request, if it has one.
pub(crate) async fn outcome(app: &Shared, key: &Key) -> Result<Option<Stored>, broker::Error> {
    app.broker().last(&app.parts.topology.outcomes, &key.outcome).await
}

pub(crate) fn read_outcome(stored: &Stored) -> Result<Outcome, Error> {
    stored.message.format().decode(&stored.message.payload).map_err(|error| {
        Error::new(ErrorCode::Internal, format!("the stored outcome cannot be read: {}", error.message))
    })
}

/// The id is in use.
pub(crate) fn conflict(id: &RequestId) -> Error {
    let why = format!("the id `{id}` belongs to a different request; use another id");
    Error { param: Some("id".into()), ..Error::new(ErrorCode::Conflict, why) }
}

/// The request is unknown.
pub(crate) fn unknown(id: &RequestId) -> Error {
    Error::new(
        ErrorCode::NotFound,
        format!("no request `{id}` is known; outcomes are kept for a limited time"),
    )
}

/// The requests that this gateway published last, by event subject, with their fingerprints. It covers the time between
/// acceptance and the first event; after that the broker knows.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<RecentInner>);

#[derive(Debug, Default)]
struct RecentInner {
    claims: HashMap<String, Claim>,
    order: VecDeque<String>,
}

/// One id.
#[derive(Debug)]
struct Claim {
    fingerprint: String,
    /// The broker has the request; until then its publish may still fail.
    stored: bool,
}

impl Recent {
    /// Claims the id for a request with this fingerprint; if it is taken, the error is the fingerprint that holds it.
    pub(crate) fn claim(&self, subject: &str, fingerprint: &str) -> Result<(), String> {
        let mut inner = self.0.lock();
        if let Some(holder) = inner.claims.get(subject) {
            return Err(holder.fingerprint.clone());
        }
        let claim = Claim { fingerprint: fingerprint.to_owned(), stored: false };
        inner.claims.insert(subject.to_owned(), claim);
        inner.order.push_back(subject.to_owned());
        if inner.order.len() > RECENT_MAX
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.claims.remove(&oldest);
        }
        Ok(())
    }

    /// The broker has the request of this id.
    pub(crate) fn store(&self, subject: &str) {
        if let Some(claim) = self.0.lock().claims.get_mut(subject) {
            claim.stored = true;
        }
    }

    /// Whether the broker has the request of this id.
    pub(crate) fn is_stored(&self, subject: &str) -> bool {
        self.0.lock().claims.get(subject).is_some_and(|claim| claim.stored)
    }

    /// Releases an id whose request was not stored.
    pub(crate) fn release(&self, subject: &str) {
        // Its place in the order stays: one claim is forgotten early, but a search would cost every refusal.
        self.0.lock().claims.remove(subject);
    }

    pub(crate) fn fingerprint(&self, subject: &str) -> Option<String> {
        self.0.lock().claims.get(subject).map(|claim| claim.fingerprint.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_tries_to_publish_has_nothing_to_attach_to() {
        let recent = Recent::default();
        recent.claim("a", "one").unwrap();
        assert!(
            !recent.is_stored("a"),
            "its publish may fail: whoever attached to it would wait for nothing"
        );
        recent.store("a");
        assert!(recent.is_stored("a"));
        recent.release("a");
        assert!(!recent.is_stored("a"));
    }

    #[test]
    fn an_id_is_claimed_once_and_the_oldest_is_forgotten() {
        let recent = Recent::default();
        assert_eq!(recent.claim("a", "one"), Ok(()));
        assert_eq!(recent.claim("a", "two"), Err("one".to_owned()));
        for index in 0..RECENT_MAX {
            recent.claim(&format!("s{index}"), "x").unwrap();
        }
        assert_eq!(recent.fingerprint("a"), None);
        recent.release("s7");
        assert_eq!(recent.fingerprint("s7"), None);
    }
}
