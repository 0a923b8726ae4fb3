//! Plays one scenario, from its first process to its whole history: quiet, fault, healed, settle, over.

use std::{collections::BTreeMap, fs, io, path::Path, sync::Arc, time::Duration};

use tokio::time::{Instant, interval};

use super::{
    System,
    board::Board,
    casting::{self, Casting},
    harvest::{harvest, harvest_given, settled},
    load::{Ground, Load},
    nemesis::Nemesis,
    rig::{Own, Rig, workers::resident_bytes},
    scenario::{Link, Scenario},
};
use crate::{
    history::{Entry, Fact, Phase},
    scribe::{Book, Scribe},
    workload::Target,
};

/// How long the load runs before the first fault: enough to compare latencies with.
const QUIET: Duration = Duration::from_secs(4);
/// How long the load continues after the last fault.
const HEALED: Duration = Duration::from_secs(4);
/// How long accepted requests may take to end after the load.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(40);
/// How often to check the processes.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The most memory that a process of the engine may use, in bytes.
pub(super) const RESIDENT_BYTES_MAX: f64 = 512.0 * 1024.0 * 1024.0;

/// Plays `scenario` in `dir`, and returns its whole history.
pub(super) async fn play(
    scenario: &Scenario,
    dir: &Path,
    system: &System,
    seed: u64,
    board: &mut Board,
) -> io::Result<Vec<Entry>> {
    fs::create_dir_all(dir)?;
    let book = Book::begin(&dir.join("history.jsonl"))?;
    let scribe = book.scribe();
    board.says("starting");
    let rig = Rig::start(scenario, dir, system, seed, &scribe).await?;
    let ground = Arc::new(ground(&rig, &scribe).await?);
    let stage = Stage { scenario, rig: &rig, scribe: &scribe, casting: Casting::of(system, seed) };
    stage.phases(&ground, board).await?;
    // Before the engine is stopped: processes that end with it have not died.
    scribe.write("harness", Fact::Phase { phase: Phase::Over });
    board.says("reading what is kept");
    match rig.own() {
        Some(own) => {
            own.stop_engine().await;
            harvest(&rig, own, &scribe).await?;
            own.stop_broker().await;
        }
        None => harvest_given(&ground, &scribe).await,
    }
    drop(rig);
    tokio::task::spawn_blocking(|| book.close()).await.map_err(io::Error::other)?
}

async fn ground(rig: &Rig, scribe: &Scribe) -> io::Result<Ground> {
    let mut buses = BTreeMap::new();
    if let Some(own) = rig.own() {
        for name in casting::TENANTS {
            buses.insert(casting::tenant(name), own.bus().await?);
        }
    }
    let receiver = rig.links.address(Link::Receiver).unwrap_or(rig.outside.receiver_at);
    let callbacks = Target { url: format!("http://{receiver}"), secret: rig.canaries.callback_secret() };
    Ground::new(scribe.clone(), rig.doors.clone(), buses, callbacks, rig.canaries.client_key.clone())
}

/// What a scenario is played on.
struct Stage<'a> {
    scenario: &'a Scenario,
    rig: &'a Rig,
    scribe: &'a Scribe,
    casting: Casting,
}

impl Stage<'_> {
    /// Runs the phases.
    async fn phases(&self, ground: &Arc<Ground>, board: &mut Board) -> io::Result<()> {
        tokio::select! {
            done = self.acts(ground) => done,
            never = watch(self.rig, self.scribe, ground, board) => never,
        }
    }

    async fn acts(&self, ground: &Arc<Ground>) -> io::Result<()> {
        let Self { scenario, rig, scribe, casting } = self;
        let begin = |phase| scribe.write("harness", Fact::Phase { phase });
        let mut load = Load::new(Arc::clone(ground));
        begin(Phase::Quiet);
        load.play(casting.usual("q", QUIET), QUIET).await;
        begin(Phase::Fault);
        let span = Duration::from_secs(scenario.fault_seconds);
        let mut nemesis = Nemesis::new(rig, scribe, &ground.tally);
        let under_fault = casting.under_fault(scenario, span);
        let (struck, ()) = tokio::join!(nemesis.strike(scenario), load.play(under_fault, span));
        struck?;
        begin(Phase::Healed);
        load.play(casting.usual("h", HEALED), HEALED).await;
        begin(Phase::Settle);
        let until = Instant::now() + SETTLE_MAX;
        load.settle(until).await;
        match rig.own() {
            Some(own) => settled(own, until).await,
            None => Ok(()),
        }
    }
}

/// Checks the processes and shows the progress; never returns.
async fn watch(rig: &Rig, scribe: &Scribe, ground: &Ground, board: &mut Board) -> ! {
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        if let Some(own) = rig.own() {
            own.look();
        }
        for (role, pid) in rig.own().map(Own::processes).unwrap_or_default() {
            if let Some(value) = resident_bytes(pid) {
                let (gauge, cap) = (format!("rss_bytes {role}"), Some(RESIDENT_BYTES_MAX));
                scribe.write("harness", Fact::Measured { gauge, value, cap });
            }
        }
        let tally = &ground.tally;
        board.says(&format!(
            "{:>5} sent {:>5} accepted {:>4} refused {:>5} ended",
            tally.sent.get(),
            tally.accepted.get(),
            tally.refused.get(),
            tally.ended.get(),
        ));
    }
}
