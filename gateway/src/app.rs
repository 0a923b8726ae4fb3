//! The state that all doors share. The server builds it once; it never grows with the number of requests.

use std::{fmt, sync::Arc, time::Duration};

use broker::{AssetLimits, Broker, Publication, Seams, Topology};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use schemas::{Error, ErrorCode, Estimate, Format, Request, RequestId, Tenant};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Access, Catalogue, Config, Signers, Standing,
    assets::Assets,
    caller::{Caller, CallerRef},
    feedback::Ratings,
    hub::Hub,
    keys::{Keys, Reach},
    linger::Lingers,
    metrics::Meters,
    openai::responses::Kept,
    pools::Pools,
    quota::Quotas,
    record::Recent,
    room::Room,
    webhooks::Webhooks,
};

/// How long a refused client is told to wait if nothing better is known, in milliseconds.
pub(crate) const RETRY_AFTER_MS: u64 = 1_000;
/// The largest fraction by which that hint is lengthened: clients refused together should not return together.
const RETRY_SPREAD: f64 = 0.5;
/// The same for a rate limit, which knows when there is room again: few clients share it, and none should wait much
/// longer.
const LIMIT_SPREAD: f64 = 0.1;
/// For this long after a reconnect the broker may have lost its events, which it keeps in memory, while their requests
/// still wait: the gateway looks for an id in the queues as well. Longer waits are as rare as ids that are reused so
/// late.
const FORGETFUL: Duration = Duration::from_secs(10 * 60);

/// Estimates what a tenant's request would cost; the error is the one that would refuse it.
pub type Estimator = Arc<dyn Fn(&Tenant, Request) -> Result<Estimate, Error> + Send + Sync>;

/// Refuses a tenant's request for what it may cost: `budget_exceeded`, or no provider does it for `route.max_cost_usd`.
/// A request that passes may still be refused when it is about to start.
pub type CostCheck = Arc<dyn Fn(&Tenant, &Request) -> BoxFuture<'static, Result<(), Error>> + Send + Sync>;

/// Builds the work that is stored for the workers, from a request with its id and tenant, the format of its events, a
/// fingerprint that tells it from another request under its id, and how many of the tenant's requests this gateway
/// believes to wait before it. `None` if only the classifier can say what becomes of it.
pub type Filer = Arc<dyn Fn(&Request, Format, &str, u64) -> Option<Publication> + Send + Sync>;

/// What the composition root hands to the gateway.
#[derive(Clone)]
pub struct Parts {
    /// The only thing the gateway talks to.
    pub broker: Arc<dyn Broker>,
    /// The names of streams and subjects.
    pub topology: Topology,
    /// How the assets that the gateway passes on are kept.
    pub assets: AssetLimits,
    /// Time and ids.
    pub seams: Seams,
    /// What clients can ask for; `GET /v1/models` lists it.
    pub catalogue: Catalogue,
    /// Who may come in, according to the configuration.
    pub access: Access,
    /// The keys with which providers sign their webhooks.
    pub signers: Signers,
    /// Estimates what a request would cost, without sending it.
    pub estimate: Estimator,
    /// Refuses a request for what it would cost, before the gateway accepts it.
    pub check_cost: CostCheck,
    /// Turns a request into work.
    pub file: Filer,
    /// Renders all metrics as Prometheus text in bounded time; they may include those of other processes.
    pub metrics: Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>,
    /// The state of the workers, as far as their supervisor knows.
    pub standing: Arc<dyn Fn() -> Standing + Send + Sync>,
    /// The version of this build.
    pub version: String,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("broker", &self.broker)
            .field("catalogue", &self.catalogue)
            .finish_non_exhaustive()
    }
}

/// What all doors share.
pub(crate) type App = Arc<Shared>;

pub(crate) struct Shared {
    pub(crate) config: Config,
    /// The API keys.
    pub(crate) keys: Keys,
    /// The caller while there are no keys.
    anyone: CallerRef,
    /// The caller without a key on routes that need none.
    nobody: CallerRef,
    pub(crate) parts: Parts,
    pub(crate) assets: Assets,
    pub(crate) webhooks: Webhooks,
    pub(crate) responses: Kept,
    pub(crate) ratings: Ratings,
    pub(crate) hub: Arc<Hub>,
    pub(crate) pools: Pools,
    pub(crate) recent: Recent,
    /// What tenants have recently asked of this gateway.
    pub(crate) quotas: Quotas,
    pub(crate) lingers: Arc<Lingers>,
    pub(crate) meters: Meters,
    /// The bytes of all requests that doors hold.
    pub(crate) room: Room,
    /// One permit for each request that a door waits for.
    pub(crate) slots: Arc<Semaphore>,
    /// Everything that a drain waits for.
    pub(crate) work: TaskTracker,
    /// Cancelled when the drain begins.
    pub(crate) draining: CancellationToken,
    /// Cancelled when the drain has ended or taken too long.
    pub(crate) cut: CancellationToken,
    /// Since when the broker has been reachable, as far as this gateway knows.
    reachable_since: Mutex<Instant>,
    /// When the gateway started, for the `created` of its models.
    pub(crate) started_s: i64,
}

/// The stores that the broker keeps for the doors.
struct Stores {
    assets: Assets,
    webhooks: Webhooks,
    keys: Keys,
}

impl Shared {
    /// Opens the stores that the broker keeps for the doors.
    pub(crate) async fn open(
        config: Config,
        parts: Parts,
        hub: Arc<Hub>,
        reach: Reach,
    ) -> Result<Self, broker::Error> {
        let stores = Stores {
            assets: Assets::open(&parts).await?,
            webhooks: Webhooks::open(&parts).await?,
            keys: Keys::open(&parts, reach).await?,
        };
        Ok(Self::new(config, parts, stores, hub, Meters::new()))
    }

    fn new(config: Config, parts: Parts, stores: Stores, hub: Arc<Hub>, meters: Meters) -> Self {
        let Stores { assets, webhooks, keys } = stores;
        let slots = Arc::new(Semaphore::new(config.requests_inflight_max));
        let started_s = parts.seams.clock.now().as_second();
        let pools = Pools::new(parts.catalogue.clone(), &config);
        let (lingers, room) =
            (Lingers::new(config.linger()), Room::new(config.bytes_inflight_max, meters.clone()));
        let (recent, work) = (Recent::default(), TaskTracker::new());
        let (draining, cut) = (CancellationToken::new(), CancellationToken::new());
        Self {
            keys,
            anyone: Caller::anyone(config.tenant.clone()),
            nobody: Caller::nobody(config.tenant.clone()),
            config,
            parts,
            assets,
            webhooks,
            responses: Kept::default(),
            ratings: Ratings::default(),
            hub,
            pools,
            recent,
            quotas: Quotas::default(),
            lingers,
            meters,
            room,
            slots,
            work,
            draining,
            cut,
            reachable_since: Mutex::new(Instant::now()),
            started_s,
        }
    }

    pub(crate) fn broker(&self) -> &dyn Broker {
        &*self.parts.broker
    }

    /// The broker is reachable again, and may have restarted.
    pub(crate) fn is_reachable_again(&self) {
        *self.reachable_since.lock() = Instant::now();
    }

    /// Whether a restart of the broker may have lost the events of requests that still wait.
    pub(crate) fn may_have_forgotten(&self) -> bool {
        self.reachable_since.lock().elapsed() < FORGETFUL
    }

    /// The caller while there are no keys.
    pub(crate) fn anyone(&self) -> CallerRef {
        self.anyone.clone()
    }

    /// The caller of a request that needs no key and brings none.
    pub(crate) fn nobody(&self) -> CallerRef {
        self.nobody.clone()
    }

    pub(crate) fn fresh_id(&self) -> RequestId {
        self.parts.seams.request_id()
    }

    /// When a door stops waiting for a request with this deadline.
    pub(crate) fn give_up_at(&self, deadline_ms: Option<u64>) -> Instant {
        let wait = deadline_ms.unwrap_or(self.config.default_deadline_ms) + self.config.deadline_grace_ms;
        Instant::now() + Duration::from_millis(wait)
    }

    /// Spreads out the retries of clients that are refused now, except for a budget: half a month more is no spread.
    pub(crate) fn spread(&self, error: Error) -> Error {
        if error.code == ErrorCode::BudgetExceeded {
            return error;
        }
        later(error, self.parts.seams.fraction())
    }

    /// The refusal of a request for which there is no room, whatever it asks for.
    pub(crate) fn crowded(&self, why: &str) -> Error {
        Error { estimated_wait_ms: self.pools.longest_wait_ms(), ..overloaded(why) }
    }

    /// Refuses new work while the gateway drains.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.draining.is_cancelled() {
            return Err(overloaded("this server is draining; connect again to reach another"));
        }
        Ok(())
    }
}

/// A refusal after which the client should retry in a moment.
pub(crate) fn overloaded(why: &str) -> Error {
    Error::new(ErrorCode::Overloaded, why).retry_after_ms(RETRY_AFTER_MS)
}

/// Lengthens the retry hint by this `fraction` of the allowed spread.
fn later(error: Error, fraction: f64) -> Error {
    let spread = if error.code == ErrorCode::RateLimited { LIMIT_SPREAD } else { RETRY_SPREAD };
    let later = |ms: u64| ms + (ms as f64 * spread * fraction) as u64;
    Error { retry_after_ms: error.retry_after_ms.map(later), ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_waited_for_as_long_as_it_needs_and_a_tenth_more_at_most() {
        let hint =
            |code, fraction| later(Error::new(code, "").retry_after_ms(60_000), fraction).retry_after_ms;
        assert_eq!(hint(ErrorCode::RateLimited, 0.0), Some(60_000));
        assert_eq!(hint(ErrorCode::RateLimited, 1.0), Some(66_000));
        assert_eq!(hint(ErrorCode::Overloaded, 1.0), Some(90_000));
    }
}
