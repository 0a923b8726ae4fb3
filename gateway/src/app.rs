//! What all doors share. Made once by the server; never grows with the number of requests.

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

/// What a refused sender is told to wait where nothing better is known, in milliseconds.
pub(crate) const RETRY_AFTER_MS: u64 = 1_000;
/// By how much of itself such a hint is made longer at most: who is refused together does not return together.
const RETRY_SPREAD: f64 = 0.5;
/// The same of a limit, which knows when there is room again: few share it, and none is to wait for much longer than that.
const LIMIT_SPREAD: f64 = 0.1;
/// For so long after a reconnect the broker may have lost its events, which it keeps in memory, while their requests still wait:
/// an id is looked for in the queues as well. What waits longer is as rare as an id that is used again so late.
const FORGETFUL: Duration = Duration::from_secs(10 * 60);

/// Tells what a request of a tenant would cost; the error is that with which it would be refused.
pub type Estimator = Arc<dyn Fn(&Tenant, Request) -> Result<Estimate, Error> + Send + Sync>;

/// Refuses a request of a tenant for what it may cost: `budget_exceeded`, or that nobody does it for `route.max_cost_usd`.
/// What it lets pass may still be refused when it is to start.
pub type CostCheck = Arc<dyn Fn(&Tenant, &Request) -> BoxFuture<'static, Result<(), Error>> + Send + Sync>;

/// Makes the work of a request whose id and tenant are known, with events in a format and told apart from another under its id
/// by a fingerprint: what is stored for those who do it. Told how many requests of its tenant this gateway believes to wait before
/// it. `None` where only the classifier can say what becomes of it.
pub type Filer = Arc<dyn Fn(&Request, Format, &str, u64) -> Option<Publication> + Send + Sync>;

/// What the composition root hands to the gateway.
#[derive(Clone)]
pub struct Parts {
    /// The only thing the gateway talks to.
    pub broker: Arc<dyn Broker>,
    /// The names of streams and subjects.
    pub topology: Topology,
    /// How the assets are kept that it passes on.
    pub assets: AssetLimits,
    /// Time and ids.
    pub seams: Seams,
    /// What can be asked for; `GET /v1/models` lists it.
    pub catalogue: Catalogue,
    /// Who may come in, as far as the configuration says it.
    pub access: Access,
    /// By which keys providers sign their webhooks.
    pub signers: Signers,
    /// What a request would cost, without sending it.
    pub estimate: Estimator,
    /// What is refused for what it would cost, before anybody takes it on.
    pub check_cost: CostCheck,
    /// What work a request is.
    pub file: Filer,
    /// Renders all metrics as Prometheus text, in bounded time: those of other processes may be among them.
    pub metrics: Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>,
    /// How those who do the work are, as far as whoever started them knows.
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
    /// Who may come in.
    pub(crate) keys: Keys,
    /// Who comes in while there are no keys.
    anyone: CallerRef,
    /// Who comes in without a key where none is needed.
    nobody: CallerRef,
    pub(crate) parts: Parts,
    pub(crate) assets: Assets,
    pub(crate) webhooks: Webhooks,
    pub(crate) responses: Kept,
    pub(crate) ratings: Ratings,
    pub(crate) hub: Arc<Hub>,
    pub(crate) pools: Pools,
    pub(crate) recent: Recent,
    /// What tenants have asked for lately, here.
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
    /// Cancelled when the drain has taken long enough.
    pub(crate) cut: CancellationToken,
    /// Since when the broker has not been out of reach, as far as this gateway knows.
    reachable_since: Mutex<Instant>,
    /// When the gateway started, for the `created` of its models.
    pub(crate) started_s: i64,
}

/// What the broker keeps for the doors.
struct Stores {
    assets: Assets,
    webhooks: Webhooks,
    keys: Keys,
}

impl Shared {
    /// Opens what the broker keeps for the doors.
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

    /// The broker is within reach again, and may have been restarted.
    pub(crate) fn is_reachable_again(&self) {
        *self.reachable_since.lock() = Instant::now();
    }

    /// Whether the broker may have lost, with a restart, what was told of requests that still wait.
    pub(crate) fn may_have_forgotten(&self) -> bool {
        self.reachable_since.lock().elapsed() < FORGETFUL
    }

    /// Who sends a request while there are no keys.
    pub(crate) fn anyone(&self) -> CallerRef {
        self.anyone.clone()
    }

    /// Who sends a request for which no key is needed, and brings none.
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

    /// Spreads out when those who are refused now are to return; but for a budget: half a month more is no spread.
    pub(crate) fn spread(&self, error: Error) -> Error {
        if error.code == ErrorCode::BudgetExceeded {
            return error;
        }
        later(error, self.parts.seams.fraction())
    }

    /// What refuses a request for which there is no room, whatever it asks for.
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

/// A refusal that a sender should repeat in a moment.
pub(crate) fn overloaded(why: &str) -> Error {
    Error::new(ErrorCode::Overloaded, why).retry_after_ms(RETRY_AFTER_MS)
}

/// When to return, later by this `fraction` of what is allowed.
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
