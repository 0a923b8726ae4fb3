//! Simulates the whole engine in one process, from a seed: gateways, classifier, workers, governors, delivery and
//! watchdogs on the broker in memory, with a paused clock, seeded randomness, simulated providers and targets, and
//! planned faults. The same scenario gives the same history, byte for byte.
//!
//! Only parts outside the engine write the history, and only the history is judged.

mod aftermath;
pub mod campaign;
mod client;
mod clock;
mod engine;
mod gateway;
mod link;
mod nemesis;
pub mod plan;
mod power;
mod provider;
mod recorder;
pub mod scenario;
mod settings;
pub mod shrink;
mod target;
pub mod verdict;
mod world;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use crate::history::{Entry, Fact, Phase};
pub use plan::{Fault, Plan, Strike};
pub use scenario::{Scenario, Setup};

use nemesis::Nemesis;
use world::World;

/// How much later than its deadline the last request may end, once everything is healed: a lease, a few deliveries, and
/// the tries of a callback.
const SETTLE_MS: u64 = 60_000;
/// For [`run`]: keeps no log of what the broker did.
pub const NO_LOG: usize = 0;
/// How often to look whether all is over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The result of a run.
#[derive(Debug)]
pub struct Run {
    /// What happened.
    pub history: Vec<Entry>,
    /// How often each planned class of faults made a difference; 0 if it was planned and never did.
    pub fired: BTreeMap<String, u64>,
    /// What the broker did, a line each; empty unless it was asked for.
    pub broker: Vec<String>,
}

/// The simulation itself failed: this says nothing about the engine.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The engine did not start.
    #[error("an engine did not start: {0}")]
    Engine(#[from] actors::Error),
    /// The gateway did not start.
    #[error("a gateway did not start: {0}")]
    Gateway(#[from] ::gateway::Error),
    /// The broker refused what it must not.
    #[error("the broker in memory: {0}")]
    Broker(#[from] broker::Error),
    /// The default configuration does not fit.
    #[error("the default configuration: {0}")]
    Settings(String),
    /// There is no runtime.
    #[error("no runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Runs `scenario`. With `log_entries_max`, the result also tells what the broker did.
pub fn run(scenario: Scenario, log_entries_max: usize) -> Result<Run, Broken> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(live(scenario, log_entries_max))
}

async fn live(scenario: Scenario, log_entries_max: usize) -> Result<Run, Broken> {
    let world = World::build(scenario, log_entries_max).await?;
    for strike in &world.scenario.plan.strikes {
        world.recorder.fired(&strike.fault.class(), 0);
    }
    phase(&world, Phase::Fault);
    let mut clients = JoinSet::new();
    for (number, planned) in world.scenario.workload.requests.iter().cloned().enumerate() {
        clients.spawn(client::run(Arc::clone(&world), planned, number));
    }
    Nemesis::new(Arc::clone(&world)).run().await?;
    phase(&world, Phase::Healed);
    let load = world.scenario.workload.last_at_ms();
    sleep(Duration::from_millis(load.saturating_sub(world.recorder.at_ms()))).await;
    phase(&world, Phase::Settle);
    settle(&world, &mut clients).await;
    aftermath::tell(&world).await?;
    phase(&world, Phase::Over);
    clients.abort_all();
    let (history, fired) = world.recorder.take();
    let told = |entry: &broker::memory::log::Entry| {
        let at_ms = entry.at.duration_since(world.began).as_millis();
        match &entry.event {
            // Since when it is down comes from the machine's clock, which differs in each run.
            broker::memory::log::Event::Linked(link) => {
                format!("{at_ms} Linked({})", *link == broker::Link::Up)
            }
            event => format!("{at_ms} {event:?}"),
        }
    };
    let broker = world.memory.log().entries().map(told).collect();
    Ok(Run { history, fired, broker })
}

/// Waits until all is over, at most until the bound.
async fn settle(world: &World, clients: &mut JoinSet<()>) {
    let bound = Duration::from_millis(world.scenario.workload.deadline_max_ms() + SETTLE_MS);
    let bound = Instant::now() + bound;
    // The bound cuts off clients that wait for what does not come; the history shows what they lack.
    let _ = timeout_at(bound, async { while clients.join_next().await.is_some() {} }).await;
    // Twice: what a worker is about to store is in no queue at that moment.
    let mut quiet = 0;
    while Instant::now() < bound && quiet < 2 {
        sleep(LOOK_EVERY).await;
        // Last, so that nothing begins between the look and the end: an overtaken attempt may still end.
        quiet = if aftermath::is_quiet(world).await { quiet + 1 } else { 0 };
    }
}

fn phase(world: &World, phase: Phase) {
    world.recorder.write("harness", Fact::Phase { phase });
}
