//! The number of an attempt, behind which older ones stay, and how many of them really began.
//!
//! The broker counts deliveries, and that is nearly the same. But a server that is killed forgets the last it made, so a
//! number could come twice; a consumer that somebody deletes counts from 1 when it is made anew; and a worker that dies
//! takes messages along that it never looked at. What was told on the request's own subject knows better. That is kept in
//! the broker's memory: where it is gone, the number goes by the time.

use std::collections::BTreeSet;

use broker::{ErrorKind, Lease};
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use schemas::{Event, EventBody, Work, event::EventKind, outcome::milliseconds};

use super::Shared;
use crate::{
    emitter::{Emitter, FORGIVEN},
    stage::FIRST_WITHIN,
};

/// Where nobody knows how many attempts there were, there was at most one in each span of this length. None is over so
/// soon, if it did not end the work.
const ATTEMPT_MS: u64 = 100;
/// A server writes to two streams each in its own time, and a door waits for the word of one before it writes to the other:
/// what is told when the work is stored may be stored so much after it.
const STREAMS_APART: SignedDuration = SignedDuration::from_millis(50);
/// Deliveries a charged attempt, at most: beyond that work is given up whether its attempts began or not.
const DELIVERIES_PER_ATTEMPT: u32 = 4;

/// What was told of a request, as far as it is remembered.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// The highest number of an attempt that spoke. The last that spoke may be an older one, which does not know that it
    /// has lost its lease.
    highest: u32,
    /// The attempts that said that they run.
    begun: BTreeSet<u32>,
    /// How many of these were forgiven, beyond what the work itself says.
    forgiven: u32,
    /// When the first was told that is remembered, and whether that is that the request is queued.
    first: Option<(Timestamp, bool)>,
}

/// Whether nobody can have had the work before: the usual case, in which nothing need be asked.
pub(super) fn is_first(shared: &Shared, lease: &Lease, work: &Work) -> bool {
    let age = shared.outbox.now().duration_since(lease.stored_at);
    work.attempt(lease.deliveries) == 1 && age < FIRST_WITHIN && !shared.control.came_back_lately()
}

/// Where an attempt stands among those of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its number: higher than any before.
    pub(super) number: u32,
    /// The work has had its tries, `attempts_max` of them, none of which came to an end.
    pub(super) is_spent: bool,
}

impl Place {
    /// That of the first of all.
    pub(super) const FIRST: Self = Self { number: 1, is_spent: false };
}

/// Where the attempt that `lease` is stands.
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

/// Forgives the attempt that `lease` is, where there is no room for work that says so itself.
pub(super) async fn forgive(shared: &Shared, lease: &Lease, work: &Work) -> Result<(), broker::Error> {
    let number = told(shared, work).await?.highest.max(work.attempt(lease.deliveries)).saturating_add(1);
    let subject = shared.outbox.topology().subjects.event(&work.tenant, &work.id);
    let mut emitter = Emitter::new(shared.outbox.broker(), subject, work, number);
    emitter.forgive(&shared.outbox, "the engine was stopped; another goes on").await;
    Ok(())
}

/// Whether the last that was told is that the request is queued, from before there was work to be done. Saves what has
/// waited in line from having all its events read.
async fn is_untouched(shared: &Shared, lease: &Lease, work: &Work) -> Result<bool, broker::Error> {
    let last = shared.outbox.last_told(&work.tenant, &work.id).await?;
    Ok(last.is_some_and(|(at, head)| head.event == EventKind::Queued && is_before(at, lease.stored_at)))
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
        // The stream itself is gone, with all that was told.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(told),
        events => events?,
    };
    while let Some(stored) = events.next().await {
        let stored = stored?;
        if let Ok(event) = stored.message.format().decode::<Event>(&stored.message.payload) {
            told.hear(&event, stored.stored_at);
            told.forgiven += u32::from(stored.message.headers.get(FORGIVEN).is_some());
        }
    }
    Ok(told)
}

impl Told {
    fn hear(&mut self, event: &Event, at: Timestamp) {
        self.first.get_or_insert((at, matches!(event.body, EventBody::Queued { .. })));
        if matches!(event.body, EventBody::Running { .. }) {
            self.begun.insert(event.attempt);
        }
        self.highest = self.highest.max(event.attempt);
    }

    /// Whether `max` attempts were told to have begun, however often a consumer that was deleted meanwhile says that it
    /// delivered the work, or so many more deliveries were made that what was told cannot be all.
    fn is_spent(&self, work: &Work, deliveries: u32, max: u32) -> bool {
        let begun = u32::try_from(self.begun.len()).unwrap_or(u32::MAX);
        begun.saturating_sub(work.forgiven.saturating_add(self.forgiven)) >= max
            || work.charged(deliveries) > max.saturating_mul(DELIVERIES_PER_ATTEMPT)
    }

    /// Whether nothing is missing of a request that was accepted, and whose work was stored, at these times. What is
    /// forgotten is forgotten from the beginning on. That a request is queued is told when its work is stored, by the
    /// classifier just before and by a door just after, unless an attempt has begun meanwhile.
    fn is_whole(&self, accepted_at: Timestamp, stored_at: Timestamp) -> bool {
        self.first.is_some_and(|(at, is_queued)| {
            is_queued && is_before(at, stored_at) || is_before(at, accepted_at)
        })
    }
}

/// Whether what was told at `told_at` was told before a message was stored at `stored_at`.
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
        let mut told = Told::default();
        for (attempt, body, ms) in events {
            let id = RequestId::new("r").unwrap();
            let event = Event { id, attempt: *attempt, seq: 0, body: body.clone() };
            told.hear(&event, at(*ms));
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
