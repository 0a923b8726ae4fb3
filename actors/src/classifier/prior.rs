//! Finds out what is known of an earlier request under the same id.

use futures_util::StreamExt;
use schemas::{Outcome, RequestId, Tenant, Work, event::EventKind};

use super::{BEFORE_THE_FIRST, Classifier, FINGERPRINT};

/// How many of a tenant's works to search for one id: what the broker sends at once.
const LOOKED_AT_MAX: usize = 256;

/// What is known of the earlier request.
#[derive(Debug, PartialEq)]
pub(super) enum Prior {
    /// Nothing.
    None,
    /// The same request was announced as queued, but its work may not be stored.
    Queued,
    /// The same request waits in line, is being worked on, or has ended there.
    Underway,
    /// The same request has ended in this stage. What follows from its end may be missing: it is stored later.
    Ended(Box<Outcome>),
    /// The id belongs to another request.
    Conflict,
}

impl Prior {
    fn by(outcome: Outcome, differs: impl Fn(&str) -> bool) -> Self {
        match outcome {
            outcome if differs(&outcome.fingerprint) => Self::Conflict,
            outcome if outcome.ended.0 == BEFORE_THE_FIRST => Self::Ended(Box::new(outcome)),
            _ => Self::Underway,
        }
    }
}

/// What the events of a request tell.
struct Told {
    prior: Prior,
    /// Whether it is the same request, if the events say so.
    is_same: Option<bool>,
}

impl Classifier {
    /// Looks for a request that came before under the same id.
    pub(super) async fn prior(
        &self,
        tenant: &Tenant,
        id: &RequestId,
        fingerprint: &str,
    ) -> Result<Prior, broker::Error> {
        let differs = |other: &str| !other.is_empty() && !fingerprint.is_empty() && other != fingerprint;
        // A request only moves forward, so looking along its path does not miss it: first at its work.
        let mut work = if self.control.came_back_lately() { self.work_of(tenant, id).await? } else { None };
        let (outcome, is_told) = tokio::join!(self.outbox.outcome(tenant, id), self.is_told(tenant, id));
        if let Some(outcome) = outcome? {
            return Ok(Prior::by(outcome, differs));
        }
        let told = match is_told? {
            true => self.told(tenant, id, differs).await?,
            false => Told { prior: Prior::None, is_same: None },
        };
        if told.prior == Prior::Queued && work.is_none() {
            // It may have waited longer than the broker recognises a repeat of it, or have gone all its way meanwhile.
            work = self.work_of(tenant, id).await?;
            if work.is_none()
                && let Some(outcome) = self.outbox.outcome(tenant, id).await?
            {
                return Ok(Prior::by(outcome, differs));
            }
        }
        Ok(match (told, work) {
            (Told { prior: Prior::Conflict, .. }, _) => Prior::Conflict,
            (Told { prior: Prior::Underway, is_same: Some(true) }, _) => Prior::Underway,
            (_, Some(Work { fingerprint, .. })) if differs(&fingerprint) => Prior::Conflict,
            (_, Some(_)) => Prior::Underway,
            (Told { is_same: Some(false), .. }, None) => Prior::Conflict,
            (Told { prior, .. }, None) => prior,
        })
    }

    /// Whether it has any event. Most requests have none, and asking for the last event costs less than asking for all.
    async fn is_told(&self, tenant: &Tenant, id: &RequestId) -> Result<bool, broker::Error> {
        let topology = self.outbox.topology();
        let subject = topology.subjects.event(tenant, id);
        Ok(self.outbox.broker().last(&topology.events, &subject).await?.is_some())
    }

    async fn told(
        &self,
        tenant: &Tenant,
        id: &RequestId,
        differs: impl Fn(&str) -> bool,
    ) -> Result<Told, broker::Error> {
        let topology = self.outbox.topology();
        let subject = topology.subjects.event(tenant, id);
        let mut events = self.outbox.broker().replay(&topology.events, &subject, 0).await?;
        let mut told = Told { prior: Prior::None, is_same: None };
        while let Some(event) = events.next().await {
            let message = event?.message;
            let is_same = message.headers.get(FINGERPRINT).map(|other| !differs(other));
            let head = message.format().decode::<schemas::EventHead>(&message.payload);
            let is_queued = head.is_ok_and(|head| head.event == EventKind::Queued);
            match (is_queued, is_same) {
                // If two came at once, both were announced as queued; this is the one that runs.
                (false, Some(true)) => return Ok(Told { prior: Prior::Underway, is_same }),
                (false, Some(false)) => return Ok(Told { prior: Prior::Conflict, is_same }),
                (false, None) => told.prior = Prior::Underway,
                (true, _) if told.prior == Prior::None => told = Told { prior: Prior::Queued, is_same },
                (true, _) => {}
            }
        }
        Ok(told)
    }

    /// The work of a request, while it waits or is worked on.
    async fn work_of(&self, tenant: &Tenant, id: &RequestId) -> Result<Option<Work>, broker::Error> {
        let topology = self.outbox.topology();
        let pattern = topology.subjects.work_of(tenant);
        let works = self.outbox.broker().replay(&topology.work, &pattern, 0).await?;
        let mut works = works.take(LOOKED_AT_MAX);
        while let Some(stored) = works.next().await {
            let message = stored?.message;
            if let Ok(work) = message.format().decode::<Work>(&message.payload)
                && work.id == *id
            {
                return Ok(Some(work));
            }
        }
        Ok(None)
    }
}
