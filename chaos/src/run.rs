//! `dynode chaos run`: plays named scenarios against real processes, with an oracle outside of them. It owns the
//! processes of a run and its findings; the checkers decide what is right.

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

/// The fewest accepted requests for a run to prove anything.
const ACCEPTED_MIN: u64 = 100;

/// The programs to run.
#[derive(Debug, Clone)]
pub struct Programs {
    /// This program, started as the engine.
    pub dynode: PathBuf,
    /// The nats-server.
    pub nats_server: PathBuf,
}

/// The system to break.
#[derive(Debug, Clone)]
pub enum System {
    /// An engine that the run starts.
    Own(Programs),
    /// A deployment that is already running.
    Given(Deployment),
}

/// A deployment that is not ours: only its clients and its provider misbehave.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its gateway, `HOST:PORT`.
    pub gateway: String,
    /// The API key, if it needs one.
    pub key: Option<schemas::Secret>,
    /// The model to ask for.
    pub model: String,
    /// Where it expects its provider, if that is to be ours.
    pub provider: Option<SocketAddr>,
}

/// A finished scenario.
#[derive(Debug)]
pub struct Finished {
    /// The scenario.
    pub scenario: &'static Scenario,
    /// The directory of its files.
    pub dir: PathBuf,
    /// Its result.
    pub end: End,
}

/// The result of a scenario.
#[derive(Debug)]
pub enum End {
    /// It was played, and its history says this.
    Judged(Box<report::Scenario>),
    /// It cannot be played here, for this reason. It proves nothing.
    Skipped(String),
    /// The harness itself failed, for this reason.
    Spoilt(String),
}

/// Plays one scenario in its own directory below `root`.
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

/// Judges a history, and whether it proves enough.
fn judge(scenario: &Scenario, system: &System, history: &[Entry]) -> report::Scenario {
    let (bounds, aims) = match system {
        System::Own(_) => (bounds(scenario), scenario.aims.to_vec()),
        // Its settings are unknown, and less of it is visible.
        System::Given(_) => (Bounds::default(), Vec::new()),
    };
    let demands = Demands {
        accepted_min: ACCEPTED_MIN,
        faults: scenario.steps.iter().map(|step| step.fault.name().to_owned()).collect(),
        exercises: aims,
    };
    report::Scenario::of(scenario.name, scenario.about, history, &bounds, &demands)
}

/// The bounds for the checkers, from the settings of the scenario.
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
        // The engine gives a stalled broker up after two attempts of two seconds, and knows only then.
        refusal_ms: 5_000,
        latency_factor: 3.0,
        latency_floor_ms: 2_000,
        ..Bounds::default()
    }
}

impl Finished {
    /// The result in one line.
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

/// The exit code of a run: the worst of its scenarios. A scenario whose harness failed proves nothing (3), and neither
/// does a run that played nothing.
#[must_use]
pub fn exit_code(run: &report::Run, finished: &[Finished]) -> u8 {
    let spoilt = finished.iter().any(|one| matches!(one.end, End::Spoilt(_)));
    match run.exit() {
        Exit::Pass if spoilt => Exit::Harness.code(),
        exit => exit.code(),
    }
}
