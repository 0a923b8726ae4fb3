//! `dynode chaos run`: named scenarios against real processes, with an oracle that stands outside of them. It owns the
//! processes of a run and what becomes of its findings; it never decides what is right: the checkers do.

mod board;
mod casting;
mod harvest;
pub(crate) mod load;
mod nemesis;
mod play;
pub(crate) mod rig;
pub mod scenario;
pub mod scenarios;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

pub use board::Board;
pub use scenario::Scenario;

use crate::{
    checker::Bounds,
    history::Entry,
    report::{self, Demands, Exit},
};

/// The fewest requests that must have been accepted for a run to say anything.
const ACCEPTED_MIN: u64 = 100;

/// What is run.
#[derive(Debug, Clone)]
pub struct Programs {
    /// This program, which is started as the engine.
    pub dynode: PathBuf,
    /// The nats-server.
    pub nats_server: PathBuf,
}

/// What is broken.
#[derive(Debug, Clone)]
pub enum System {
    /// An engine that is started for it.
    Own(Programs),
    /// A deployment that runs already.
    Given(Deployment),
}

/// A deployment of somebody else: only its clients and its provider misbehave.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its gateway, `HOST:PORT`.
    pub gateway: String,
    /// The model that is asked for.
    pub model: String,
    /// Where it looks for its provider, if that is to be ours.
    pub provider: Option<SocketAddr>,
}

/// What became of one scenario.
#[derive(Debug)]
pub struct Finished {
    /// Which.
    pub scenario: &'static Scenario,
    /// Where its files are.
    pub dir: PathBuf,
    /// What came of it.
    pub end: End,
}

/// What came of a scenario.
#[derive(Debug)]
pub enum End {
    /// It was played, and this is what its history says.
    Judged(Box<report::Scenario>),
    /// It cannot be played here, and why. It proves nothing.
    Skipped(String),
    /// The harness itself failed, and how.
    Spoilt(String),
}

/// Plays one scenario in a directory of its own below `root`.
pub async fn run(
    scenario: &'static Scenario,
    root: &Path,
    system: &System,
    seed: u64,
    board: &mut Board,
) -> Finished {
    board.begins(scenario.name);
    let dir = root.join(scenario.name);
    let end = match play::play(scenario, &dir, system, seed, board).await {
        Ok(history) => End::Judged(Box::new(judge(scenario, system, &history))),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => End::Skipped(error.to_string()),
        Err(error) => End::Spoilt(error.to_string()),
    };
    let finished = Finished { scenario, dir, end };
    board.ends(&finished.sentence());
    finished
}

/// What a history says, and whether it says enough.
fn judge(scenario: &Scenario, system: &System, history: &[Entry]) -> report::Scenario {
    let (bounds, aims) = match system {
        System::Own(_) => (bounds(scenario), scenario.aims.to_vec()),
        // Its settings are not known, and less of it can be seen.
        System::Given(_) => (Bounds::default(), Vec::new()),
    };
    let demands = Demands {
        accepted_min: ACCEPTED_MIN,
        faults: scenario.steps.iter().map(|step| step.fault.name().to_owned()).collect(),
        exercises: aims,
    };
    report::Scenario::of(scenario.name, scenario.about, history, &bounds, &demands)
}

/// What the checkers are told, from the settings of the scenario.
fn bounds(scenario: &Scenario) -> Bounds {
    use rig::settings::{DRAIN_MS, LEASE_MS, SILENCE_MS};
    Bounds {
        recovery_ms: 20_000,
        attempts_max: scenario.settings.attempts_max.into(),
        retries: scenario.settings.retries.into(),
        silence_ms: SILENCE_MS,
        stall_kill_ms: scenario.settings.silence_kill_ms + 5_000,
        redelivery_ms: LEASE_MS + 5_000,
        drain_ms: 2 * DRAIN_MS + 2_000,
        settle_ms: u64::try_from(play::SETTLE_MAX.as_millis()).unwrap_or(u64::MAX),
        // A broker that stands still is given up after two tries of two seconds: only then is it known.
        refusal_ms: 5_000,
        latency_factor: 3.0,
        latency_floor_ms: 2_000,
        ..Bounds::default()
    }
}

impl Finished {
    /// What came of it, in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        match &self.end {
            End::Judged(one) if one.exit() == Exit::Pass => {
                format!("passed, {} accepted", one.tally.accepted)
            }
            End::Judged(one) => {
                let mut why: Vec<_> =
                    one.verdicts.findings().map(|finding| finding.guarantee.to_string()).collect();
                why.dedup();
                why.extend(one.shortfalls.iter().map(ToString::to_string));
                format!("FAILED {}", why.join(", "))
            }
            End::Skipped(why) => format!("skipped: {why}"),
            End::Spoilt(why) => format!("FAILED before it was judged: {why}"),
        }
    }
}

/// The exit code of a run: the worst of its scenarios. One that failed before it was judged proves nothing (3), as does
/// a run of which nothing was played.
#[must_use]
pub fn exit_code(run: &report::Run, finished: &[Finished]) -> u8 {
    let spoilt = finished.iter().any(|one| matches!(one.end, End::Spoilt(_)));
    match run.exit() {
        Exit::Pass if spoilt => Exit::Harness.code(),
        exit => exit.code(),
    }
}
