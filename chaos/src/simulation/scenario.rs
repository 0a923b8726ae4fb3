//! Everything that a run is made of, as data: drawn from a seed, written to a file, shrunk, read back.

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use schemas::Tenant;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::{
    history::Door,
    workload::{Profile, TenantShare, Workload, mix},
};

/// Small, so that many seeds fit into a minute; a bug that needs many requests at once is rarer than one that needs
/// many different runs.
const REQUESTS_MAX: u64 = 50;
/// Load and faults share this time.
const SPAN_MS_MAX: u64 = 40_000;
/// The interval of the server that Dynode starts, something between, and a server's own default.
const SYNC_INTERVALS_MS: [u64; 3] = [100, 5_000, 120_000];
/// More than the simulated gateways take.
const HUGE_BYTES: usize = 80 << 10;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// The source of all other randomness of the run.
    pub seed: u64,
    /// What runs.
    pub setup: Setup,
    /// What clients do.
    pub workload: Workload,
    /// What goes wrong.
    pub plan: Plan,
}

/// How many of what run, and with which settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Engines on one broker.
    pub engines: usize,
    /// Gateways, each with the tenant whose door it is.
    pub gateways: Vec<Tenant>,
    /// How many requests of a kind an engine works on at once.
    pub concurrency: u32,
    /// How often work is delivered before it is given up.
    #[serde(default = "usual_attempts")]
    pub attempts_max: u32,
    /// The calls that may start in a minute at each provider, by all engines together.
    pub requests_per_minute: Option<u32>,
    /// The most requests in a queue.
    pub queued_max: u64,
    /// How long a lease lasts.
    pub lease_ms: u64,
    /// How long events are kept.
    pub events_age_ms: u64,
    /// How long the broker recognises a repeated id.
    pub duplicate_window_ms: u64,
    /// How often the broker syncs what it stores; none: before each ack, so that no power failure takes anything.
    #[serde(default)]
    pub sync_interval_ms: Option<u64>,
}

/// For scenarios that do not set it.
const fn usual_attempts() -> u32 {
    3
}

impl Scenario {
    /// The scenario of `seed`.
    pub fn draw(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(mix(seed, 1 << 32));
        let profile = profile(&mut random).swarm(seed);
        let setup = Setup::draw(&mut random, &profile);
        let workload = Workload::draw(seed, &profile);
        let plan = Plan::draw(&mut random, &setup, &workload, profile.span_ms);
        Self { seed, setup, workload, plan }
    }
}

fn profile(random: &mut StdRng) -> Profile {
    let share = |name: &str, weight, doors: &[Door]| TenantShare {
        tenant: Tenant::new(name).unwrap_or_else(|_| unreachable!("letters are a token")),
        weight,
        doors: doors.to_vec(),
    };
    let all = [Door::Bus, Door::Http, Door::Socket];
    Profile {
        requests: random.random_range(4..=REQUESTS_MAX),
        span_ms: random.random_range(2_000..=SPAN_MS_MAX),
        tenants: vec![share("acme", 2, &all), share("bolt", random.random_range(1..20), &all)],
        deadlines_ms: vec![2_000, 15_000, 60_000, 60_000, 120_000],
        words_max: 12,
        tokens_max: 40,
        huge_bytes: HUGE_BYTES,
        late_conflicts: true,
        ..Profile::default()
    }
}

impl Setup {
    fn draw(random: &mut StdRng, profile: &Profile) -> Self {
        let mut gateways: Vec<_> = profile.tenants.iter().map(|share| share.tenant.clone()).collect();
        if random.random_bool(0.5) {
            // A second gateway of the first tenant, where a cut client may come back.
            gateways.extend(profile.tenants.first().map(|share| share.tenant.clone()));
        }
        Self {
            engines: random.random_range(1..=3),
            gateways,
            concurrency: random.random_range(1..=8),
            // If a drain were charged, one would be enough to give up work that has a single attempt.
            attempts_max: random.random_range(1..=3),
            // Often fewer than the load has.
            requests_per_minute: random.random_bool(0.25).then(|| random.random_range(5..80)),
            queued_max: if random.random_bool(0.15) { random.random_range(2..6) } else { 10_000 },
            lease_ms: *[6_000, 15_000].get(random.random_range(0..2)).unwrap_or(&6_000),
            events_age_ms: 600_000,
            duplicate_window_ms: if random.random_bool(0.3) { 5_000 } else { 120_000 },
            sync_interval_ms: SYNC_INTERVALS_MS.choose(random).copied().filter(|_| random.random_bool(0.5)),
        }
    }
}
