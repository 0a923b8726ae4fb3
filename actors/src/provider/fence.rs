//! Numbers attempts, which fences off older ones, and counts how many of them really began.
//!
//! The broker counts deliveries, and that is nearly the same. But a killed server forgets the last ones it made, so a
//! number could come twice; a deleted consumer counts from 1 when it is created again; and a worker that dies takes
//! messages along that it never looked at. The events on the request's own subject know better. The broker keeps them
//! in memory: if they are gone, the number follows from the time.

use std::collections::BTreeSet;

use broker::{ErrorKind, Lease, Stored, message::LAST_OF_SUBJECT};
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use schemas::{Event, EventBody, Work, event::EventKind, outcome::milliseconds};

use super::Shared;
use crate::{
    emitter::{Emitter, FORGIVEN},
    stage::FIRST_WITHIN,
};

/// If nobody knows how many attempts there were, assume one in each span of this length, at most: no attempt is over so
/// soon unless it ends the work.
const ATTEMPT_MS: u64 = 100;
/// A server writes to two streams independently: an event published just before the work was stored may be stored this
/// much after it.
const STREAMS_APART: SignedDuration = SignedDuration::from_millis(50);
/// Deliveries per charged attempt, at most: beyond that, work is given up whether its attempts began or not.
const DELIVERIES_PER_ATTEMPT: u32 = 4;

/// What a request's events say, as far as they are remembered.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// The highest attempt number in any event. The last event may be of an older attempt, which does not know that it
    /// has lost its lease.
    highest: u32,
    /// The attempts that reported that they run.
    begun: BTreeSet<u32>,
    /// How many attempts were forgiven, beyond those that the work itself counts.
    forgiven: u32,
    /// The first event remembered.
    first: Option<First>,
}

/// The first of the remembered events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct First {
    at: Timestamp,
    /// It says that the request is queued.
    is_queued: bool,
    /// A door published it, over a connection older than the stored work, and only if no event was remembered: so there
    /// had been none before.
    is_by_door: bool,
}

/// Whether nobody can have had the work before: the usual case, in which the broker need not be asked.
pub(super) fn is_first(shared: &Shared, lease: &Lease, work: &Work) -> bool {
    let age = shared.outbox.now().duration_since(lease.stored_at);
    work.attempt(lease.deliveries) == 1 && age < FIRST_WITHIN && !shared.control.came_back_lately()
}

/// Where an attempt stands among those of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its number: higher than any before.
    pub(super) number: u32,
    /// The work has used up its `attempts_max` tries, none of which came to an end.
    pub(super) is_spent: bool,
}

impl Place {
    /// The place of the very first attempt.
    pub(super) const FIRST: Self = Self { number: 1, is_spent: false };
}

/// The place of the attempt that `lease` begins.
pub(super) async fn place(shared: &Shared, lease: &Lease, work: &Work) -> Result<Place, broker::Error> {
    let delivered = work.attempt(lease.deliveries);
    if delivered == 1 && is_untouched(shared, lease, work).await? {
        return Ok(Place::FIRST);
    }
    let told = told(shared, work).await?;
    let is_whole = told.is_whole(work.accepted_at, lease.stored_at);
    let next = delivered.max(told.highest.saturating_add(1));
    let by_time = || by_time(work.accepted_at, shared.outbox.now());
    Ok(Place {
        number: if is_whole { next } else { next.max(by_time()) },
        is_spent: told.is_spent(work, lease.deliveries, shared.engine.attempts_max),
    })
}

/// Forgives the attempt of `lease`, if there is no room for work that says so itself.
pub(super) async fn forgive(shared: &Shared, lease: &Lease, work: &Work) -> Result<(), broker::Error> {
    let number = told(shared, work).await?.highest.max(work.attempt(lease.deliveries)).saturating_add(1);
    let subject = shared.outbox.topology().subjects.event(&work.tenant, &work.id);
    let mut emitter = Emitter::new(shared.outbox.broker(), subject, work, number);
    emitter.forgive(&shared.outbox, "the engine was stopped; another goes on").await;
    Ok(())
}

/// Whether the last event says that the request is queued, from before its work existed. Saves reading all events of
/// work that only waited in line.
async fn is_untouched(shared: &Shared, lease: &Lease, work: &Work) -> Result<bool, broker::Error> {
    let last = shared.outbox.last_told(&work.tenant, &work.id).await?;
    Ok(last.is_some_and(|(stored, head)| First::of(&stored, head.event).is_before_work(lease.stored_at)))
}

/// A number that is higher than that of any attempt before `now`.
fn by_time(accepted_at: Timestamp, now: Timestamp) -> u32 {
    let spans = milliseconds(accepted_at, now) / ATTEMPT_MS;
    u32::try_from(spans.saturating_add(2)).unwrap_or(u32::MAX)
}

async fn told(shared: &Shared, work: &Work) -> Result<Told, broker::Error> {
    let topology = shared.outbox.topology();
    let subject = topology.subjects.event(&work.tenant, &work.id);
    let mut told = Told::default();
    let mut events = match shared.outbox.broker().replay(&topology.events, &subject, 0).await {
        // The stream itself is gone, with all events.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(told),
        events => events?,
    };
    while let Some(stored) = events.next().await {
        let stored = stored?;
        if let Ok(event) = stored.message.format().decode::<Event>(&stored.message.payload) {
            told.first.get_or_insert_with(|| First::of(&stored, event.body.kind()));
            told.hear(&event);
            told.forgiven += u32::from(stored.message.headers.get(FORGIVEN).is_some());
        }
    }
    Ok(told)
}

impl Told {
    fn hear(&mut self, event: &Event) {
        if matches!(event.body, EventBody::Running { .. }) {
            self.begun.insert(event.attempt);
        }
        self.highest = self.highest.max(event.attempt);
    }

    /// Whether `max` attempts reported that they began, however many deliveries a since deleted consumer counts; or
    /// whether so many more deliveries were made that events must be missing.
    fn is_spent(&self, work: &Work, deliveries: u32, max: u32) -> bool {
        let begun = u32::try_from(self.begun.len()).unwrap_or(u32::MAX);
        begun.saturating_sub(work.forgiven.saturating_add(self.forgiven)) >= max
            || work.charged(deliveries) > max.saturating_mul(DELIVERIES_PER_ATTEMPT)
    }

    /// Whether no event is missing of a request that was accepted, and whose work was stored, at these times. Events
    /// are forgotten from the oldest on. The queued event is published when the work is stored, by the classifier just
    /// before and by a door just after, unless an attempt has begun meanwhile.
    fn is_whole(&self, accepted_at: Timestamp, stored_at: Timestamp) -> bool {
        self.first.is_some_and(|first| first.is_before_work(stored_at) || is_before(first.at, accepted_at))
    }
}

impl First {
    fn of(stored: &Stored, kind: EventKind) -> Self {
        let is_by_door = stored.message.headers.get(LAST_OF_SUBJECT).is_some();
        Self { at: stored.stored_at, is_queued: kind == EventKind::Queued, is_by_door }
    }

    /// Whether it says that the request is queued, before any other event of work stored at `stored_at`.
    fn is_before_work(self, stored_at: Timestamp) -> bool {
        self.is_queued && (self.is_by_door || is_before(self.at, stored_at))
    }
}

/// Whether an event at `told_at` was published before a message was stored at `stored_at`.
fn is_before(told_at: Timestamp, stored_at: Timestamp) -> bool {
    told_at.duration_since(stored_at) <= STREAMS_APART
}

#[cfg(test)]
mod tests {
    use schemas::RequestId;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn told(events: &[(u32, EventBody, i64)]) -> Told {
        told_by(false, events)
    }

    fn told_by(is_by_door: bool, events: &[(u32, EventBody, i64)]) -> Told {
        let mut told = Told::default();
        for (attempt, body, ms) in events {
            let id = RequestId::new("r").unwrap();
            let event = Event { id, attempt: *attempt, seq: 0, body: body.clone() };
            let is_queued = event.body.kind() == EventKind::Queued;
            told.first.get_or_insert(First { at: at(*ms), is_queued, is_by_door });
            told.hear(&event);
        }
        told
    }

    fn queued() -> EventBody {
        EventBody::Queued { position: None, estimated_wait_ms: None }
    }

    fn running() -> EventBody {
        EventBody::Running { provider: "p".into(), model: "m".into() }
    }

    #[test]
    fn the_newest_attempt_counts_whoever_spoke_last() {
        let told = told(&[
            (0, queued(), 1),
            (1, running(), 2),
            (2, running(), 3),
            (1, running(), 4),
            (0, queued(), 5),
        ]);
        assert_eq!((told.highest, told.begun.len()), (2, 2));
        assert!(told.is_whole(at(1), at(1)));
    }

    #[test]
    fn what_does_not_begin_with_being_queued_before_the_work_has_been_forgotten() {
        // Accepted at 0, and its work stored at 200: it waited for the classifier, or was handed back.
        let is_whole = |events: &[(u32, EventBody, i64)]| told(events).is_whole(at(0), at(200));
        assert!(!is_whole(&[]));
        assert!(!is_whole(&[(1, running(), 195)]));
        assert!(!is_whole(&[(1, running(), 195), (0, queued(), 196)]));
        assert!(!is_whole(&[(0, queued(), 251)]), "told anew, after a repeat");
        assert!(is_whole(&[(0, queued(), 250)]), "by a stream that was a little late");
        let late = told_by(true, &[(0, queued(), 900), (1, running(), 950)]);
        assert!(
            late.is_whole(at(0), at(200)),
            "a door may be late: it would not have told it behind another"
        );
        assert!(!told_by(true, &[(1, running(), 900)]).is_whole(at(0), at(200)));
    }

    #[test]
    fn what_begins_when_the_request_was_accepted_is_whole_whatever_it_is() {
        let is_whole = |events: &[(u32, EventBody, i64)]| told(events).is_whole(at(9), at(10));
        assert!(is_whole(&[(1, running(), 12)]), "it began before the door could say that it waits");
        assert!(is_whole(&[(0, queued(), 12), (1, running(), 12)]));
        assert!(!is_whole(&[(1, running(), 60)]));
    }

    #[test]
    fn the_time_gives_a_number_that_none_had_before() {
        assert_eq!(by_time(at(0), at(0)), 2, "one attempt may be forgotten at any age");
        assert_eq!(by_time(at(5_000), at(20_000)), 152);
        assert_eq!(by_time(at(5_000), at(0)), 2, "a clock that went back");
        assert!(by_time(at(0), at(86_400_000)) < u32::MAX / 1_000);
    }
}
