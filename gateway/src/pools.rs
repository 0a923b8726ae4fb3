//! Tracks the state of the pools, and admits requests: the gateway refuses a request that would not be worked on in
//! time before it publishes anything of it. Never asks anybody: it hears heartbeats and counts what it sends.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use broker::Message;
use parking_lot::Mutex;
use schemas::{
    Backpressure, Census, Error, ErrorCode, Heartbeat, Load, PoolState, Request, Tenant, census::ENTRANCE,
};
use tokio::time::Instant;
use tracing::debug;

use crate::{
    Catalogue, Config,
    app::RETRY_AFTER_MS,
    waiting::{Ticket, Waiting},
};

pub(crate) struct Pools {
    census: Mutex<Census>,
    origin: Instant,
    catalogue: Catalogue,
    queue_max: u64,
    waiting: Arc<Waiting>,
}

/// A request that was admitted.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Its place among the waiting requests of its tenant.
    pub(crate) ticket: Ticket,
    /// How many requests of its tenant wait before it, beyond the free slots of its pool.
    pub(crate) ahead: u64,
    /// `None` if nothing is known of its pool.
    pub(crate) forecast: Option<Forecast>,
}

/// When an admitted request is expected to begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forecast {
    pub(crate) wait_ms: u64,
    made_at: Instant,
}

/// One pool, for display.
pub(crate) struct Shown {
    pub(crate) pool: String,
    pub(crate) state: PoolState,
    pub(crate) load: Option<Load>,
    pub(crate) estimated_wait_ms: Option<u64>,
}

impl Pools {
    /// The pools that serve the models in `catalogue`.
    pub(crate) fn new(catalogue: Catalogue, config: &Config) -> Self {
        Self {
            census: Mutex::new(Census::assuming(config.assumed_job_ms)),
            origin: Instant::now(),
            catalogue,
            queue_max: config.queue_max,
            waiting: Waiting::new(config.tenant_queue_max),
        }
    }

    /// Takes in a heartbeat.
    pub(crate) fn hear(&self, message: &Message) {
        match message.format().decode::<Heartbeat>(&message.payload) {
            Ok(beat) => self.census.lock().hear(beat, self.now_ms()),
            Err(error) => debug!(%error, subject = message.subject, "a heartbeat cannot be read"),
        }
    }

    /// Takes in a backpressure signal.
    pub(crate) fn hear_signal(&self, message: &Message) {
        match message.format().decode::<Backpressure>(&message.payload) {
            Ok(signal) => self.census.lock().hear_signal(&signal),
            Err(error) => debug!(%error, subject = message.subject, "a signal cannot be read"),
        }
    }

    /// Admits `request`, which then counts as sent, or says why not and when to return. If nothing is known of a pool,
    /// only the limits of the broker and of the tenant apply.
    pub(crate) fn admit(
        &self,
        tenant: &Tenant,
        request: &Request,
        deadline_ms: u64,
    ) -> Result<Admission, Error> {
        let now_ms = self.now_ms();
        let listing = self.catalogue.now();
        let pool = listing.pool_of(request);
        let mut census = self.census.lock();
        let known = pool.and_then(|pool| {
            let (load, wait_ms) = (census.load(pool, now_ms)?, census.estimated_wait_ms(pool, now_ms)?);
            Some((pool, load, wait_ms))
        });
        if let Some((pool, load, wait_ms)) = known {
            self.check(pool, load, wait_ms, deadline_ms)?;
        }
        let wait_ms = known.map(|(_, _, wait_ms)| wait_ms);
        // A request that only the classifier can place waits for the classifier.
        let line = pool.unwrap_or(ENTRANCE);
        let ticket = self.waiting.take(tenant, line).ok_or_else(|| {
            let why = format!("`{tenant}` has reached its limit of requests that wait for `{line}`");
            refusal(why, wait_ms, wait_ms.unwrap_or_default() / 2)
        })?;
        if let Some((pool, ..)) = known {
            census.count_sent(pool);
        }
        let free = known.map_or(0, |(_, load, _)| load.free_slots());
        let ahead = ticket.ahead().saturating_sub(free);
        let forecast = wait_ms.map(|wait_ms| Forecast { wait_ms, made_at: Instant::now() });
        Ok(Admission { ticket, ahead, forecast })
    }

    fn check(&self, pool: &str, load: Load, wait_ms: u64, deadline_ms: u64) -> Result<(), Error> {
        if load.queue >= self.queue_max {
            let why = format!("{} requests wait for `{pool}`, which is its limit", load.queue);
            // Half of the queue is gone by then: there is room for more than the first client that returns.
            return Err(refusal(why, Some(wait_ms), wait_ms / 2));
        }
        if wait_ms > deadline_ms {
            let why = format!(
                "`{pool}` is expected to begin in {wait_ms} ms, after the deadline of {deadline_ms} ms"
            );
            return Err(refusal(why, Some(wait_ms), wait_ms - deadline_ms));
        }
        Ok(())
    }

    /// The longest expected wait of all pools, as far as is known.
    pub(crate) fn longest_wait_ms(&self) -> Option<u64> {
        let (census, now_ms) = (self.census.lock(), self.now_ms());
        census.pools().filter_map(|pool| census.estimated_wait_ms(pool, now_ms)).max()
    }

    /// Every pool that serves a model or has been heard, by name.
    pub(crate) fn show(&self) -> Vec<Shown> {
        let (census, now_ms, listing) = (self.census.lock(), self.now_ms(), self.catalogue.now());
        let names: BTreeSet<&str> =
            listing.providers().iter().map(String::as_str).chain(census.pools()).collect();
        let show = |pool: &str| Shown {
            pool: pool.to_owned(),
            state: census.state(pool, now_ms),
            load: census.load(pool, now_ms),
            estimated_wait_ms: census.estimated_wait_ms(pool, now_ms),
        };
        names.into_iter().map(show).collect()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Forecast {
    /// How long the wait has taken until now, and how long it was expected to take.
    pub(crate) fn outcome(self) -> (Duration, Duration) {
        (self.made_at.elapsed(), Duration::from_millis(self.wait_ms))
    }
}

fn refusal(why: String, estimated_wait_ms: Option<u64>, retry_after_ms: u64) -> Error {
    let error = Error::new(ErrorCode::Overloaded, why).retry_after_ms(retry_after_ms.max(RETRY_AFTER_MS));
    Error { estimated_wait_ms, ..error }
}
