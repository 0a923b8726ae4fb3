//! The number of an attempt, behind which older ones stay, and how many of them really began.
//!
//! The broker counts deliveries, and that is nearly the same. But a server that is killed forgets the last it made, so a
//! number could come twice; and a worker that dies takes messages along that it never looked at. What was told on the
//! request's own subject knows better.

use std::{collections::BTreeSet, time::Duration};

use broker::Lease;
use futures_util::StreamExt;
use schemas::{Event, EventBody, Work};

use super::Shared;
use crate::stage::FIRST_WITHIN;

/// For so long after its return a server may deliver what it has forgotten to have delivered.
const FORGETFUL: Duration = Duration::from_secs(120);
/// Deliveries a charged attempt, at most: beyond that work is given up whether its attempts began or not.
const DELIVERIES_PER_ATTEMPT: u32 = 4;

/// Whether nobody can have had the work before.
pub(super) fn is_first(shared: &Shared, lease: &Lease, work: &Work) -> bool {
    let age = shared.outbox.now().duration_since(lease.stored_at);
    work.attempt(lease.deliveries) == 1 && age < FIRST_WITHIN && !shared.control.came_back_within(FORGETFUL)
}

/// The number of the attempt that `lease` is: higher than any that was heard of.
pub(super) async fn number(shared: &Shared, lease: &Lease, work: &Work) -> Result<u32, broker::Error> {
    let delivered = work.attempt(lease.deliveries);
    if is_first(shared, lease, work) {
        return Ok(delivered);
    }
    let head = shared.outbox.last_told(&work.tenant, &work.id).await?;
    Ok(head.map_or(delivered, |head| delivered.max(head.attempt.saturating_add(1))))
}

/// Whether the work has had its tries, `attempts_max` of them, none of which came to an end.
pub(super) async fn is_spent(shared: &Shared, lease: &Lease, work: &Work) -> Result<bool, broker::Error> {
    let max = shared.engine.attempts_max;
    let charged = work.charged(lease.deliveries);
    if charged <= max {
        return Ok(false);
    }
    if charged > max.saturating_mul(DELIVERIES_PER_ATTEMPT) {
        return Ok(true);
    }
    Ok(begun(shared, work).await?.saturating_sub(work.forgiven) >= max)
}

/// How many attempts said that they run.
async fn begun(shared: &Shared, work: &Work) -> Result<u32, broker::Error> {
    let topology = shared.outbox.topology();
    let subject = topology.subjects.event(&work.tenant, &work.id);
    let mut events = shared.outbox.broker().replay(&topology.events, &subject, 0).await?;
    let mut begun = BTreeSet::new();
    while let Some(stored) = events.next().await {
        let message = stored?.message;
        if let Ok(event) = message.format().decode::<Event>(&message.payload)
            && matches!(event.body, EventBody::Running { .. })
        {
            begun.insert(event.attempt);
        }
    }
    Ok(u32::try_from(begun.len()).unwrap_or(u32::MAX))
}
