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
use crate::stage::FIRST_WITHIN;

/// Where nobody knows how many attempts there were, there was at most one in each span of this length. None is over so
/// soon, if it did not end the work.
const ATTEMPT_MS: u64 = 100;
/// A server writes to two streams each in its own time: what was told just before the work was stored may be stored so much
/// after it.
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
    /// When it was told to be queued, where nothing is remembered from before.
    queued_at: Option<Timestamp>,
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
    let is_whole = told.reaches_back_to(lease.stored_at);
    let next = delivered.max(told.highest.saturating_add(1));
    let by_time = || by_time(work.accepted_at, shared.outbox.now());
    Ok(Place {
        number: if is_whole { next } else { next.max(by_time()) },
        is_spent: told.is_spent(work, lease.deliveries, shared.engine.attempts_max),
    })
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
    let mut is_first = true;
    while let Some(stored) = events.next().await {
        let stored = stored?;
        if let Ok(event) = stored.message.format().decode::<Event>(&stored.message.payload) {
            told.hear(&event, stored.stored_at, std::mem::take(&mut is_first));
        }
    }
    Ok(told)
}

impl Told {
    fn hear(&mut self, event: &Event, at: Timestamp, is_first: bool) {
        match event.body {
            EventBody::Queued { .. } if is_first => self.queued_at = Some(at),
            EventBody::Running { .. } => _ = self.begun.insert(event.attempt),
            _ => {}
        }
        self.highest = self.highest.max(event.attempt);
    }

    /// Whether `max` attempts were told to have begun, however often a consumer that was deleted meanwhile says that it
    /// delivered the work, or so many more deliveries were made that what was told cannot be all.
    fn is_spent(&self, work: &Work, deliveries: u32, max: u32) -> bool {
        let begun = u32::try_from(self.begun.len()).unwrap_or(u32::MAX);
        begun.saturating_sub(work.forgiven) >= max
            || work.charged(deliveries) > max.saturating_mul(DELIVERIES_PER_ATTEMPT)
    }

    /// Whether nothing is missing from before a message was stored at `stored_at`: that a request is queued is told just
    /// before its work is stored.
    fn reaches_back_to(&self, stored_at: Timestamp) -> bool {
        self.queued_at.is_some_and(|queued_at| is_before(queued_at, stored_at))
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
        for (index, (attempt, body, ms)) in events.iter().enumerate() {
            let id = RequestId::new("r").unwrap();
            let event = Event { id, attempt: *attempt, seq: 0, body: body.clone() };
            told.hear(&event, at(*ms), index == 0);
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
        assert!(told.reaches_back_to(at(1)));
    }

    #[test]
    fn what_does_not_begin_with_being_queued_before_the_work_has_been_forgotten() {
        assert!(!told(&[]).reaches_back_to(at(9)));
        assert!(!told(&[(1, running(), 2)]).reaches_back_to(at(9)));
        assert!(!told(&[(1, running(), 2), (0, queued(), 3)]).reaches_back_to(at(9)));
        assert!(!told(&[(0, queued(), 60)]).reaches_back_to(at(9)), "told anew, after a repeat");
        assert!(told(&[(0, queued(), 59)]).reaches_back_to(at(9)), "by a stream that was a little late");
    }

    #[test]
    fn the_time_gives_a_number_that_none_had_before() {
        assert_eq!(by_time(at(0), at(0)), 2, "one attempt may be forgotten at any age");
        assert_eq!(by_time(at(5_000), at(20_000)), 152);
        assert_eq!(by_time(at(5_000), at(0)), 2, "a clock that went back");
        assert!(by_time(at(0), at(86_400_000)) < u32::MAX / 1_000);
    }
}
