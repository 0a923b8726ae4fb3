//! `dynode bench`: measures what requests cost and how long they take. It sees the engine from outside, measures its
//! surroundings in the same run, and leaves judgement to a comparison.

pub mod bare;
pub mod compare;
mod environment;
pub mod figure;
mod limits;
pub(crate) mod load;
mod measure;
mod outcome;
mod play;
pub mod provider;
pub mod report;
mod rig;
pub mod scenario;
pub mod scenarios;
mod stage;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use http::HeaderValue;
use jiff::Zoned;
use tokio::time::Instant;

pub use environment::Environment;
pub use outcome::{FORMAT, Outcome, Point, Skipped, Tested};
pub use rig::Carrier;
pub use scenario::Scenario;

use crate::run::Board;
use scenario::{Case, Load};
use stage::Stage;

/// The system under test.
#[derive(Debug, Clone)]
pub enum System {
    /// An engine that the benchmark starts, with this broker.
    Own(Carrier),
    /// A running server that speaks OpenAI's API.
    Given(Target),
}

/// A server that is not ours.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its address: `HOST:PORT`.
    pub authority: String,
    /// The model to ask for, if not the simulated provider's.
    pub model: Option<String>,
    /// The header with its key, if it needs one.
    pub key: Option<HeaderValue>,
    /// Where it expects its provider, if we simulate it.
    pub provider: Option<SocketAddr>,
    /// Its process, if it runs on this machine.
    pub pid: Option<u32>,
}

/// How to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// The scenarios, in order.
    pub scenarios: Vec<&'static Scenario>,
    /// The system.
    pub system: System,
    /// Whether to measure the same bare hops as well.
    pub floor: bool,
    /// How many rounds.
    pub rounds: u32,
    /// How long to measure in each round.
    pub window: Duration,
    /// How long to warm up before that.
    pub warm_up: Duration,
    /// How many requests the backlog has.
    pub backlog: u32,
    /// How long the soak lasts.
    pub soak: Duration,
    /// A load that replaces those of the scenarios.
    pub load: Option<Load>,
    /// This program, which is started in every role needed.
    pub dynode: PathBuf,
    /// An empty directory for the files of the run.
    pub dir: PathBuf,
    /// The command that repeats the run.
    pub command: String,
    /// The programs that take part, by name and version.
    pub versions: Vec<(String, String)>,
}

impl Options {
    /// The cases to measure, with the requested load in place of theirs.
    fn cases(&self, cases: &[Case]) -> Vec<Case> {
        let Some(load) = self.load else { return cases.to_vec() };
        let mut own = Vec::<Case>::new();
        for case in cases.iter().map(|case| Case { load, ..*case }) {
            if !own.iter().any(|have| have.work == case.work) {
                own.push(case);
            }
        }
        own
    }

    /// Whether there is a bus to publish to.
    const fn has_bus(&self) -> bool {
        matches!(&self.system, System::Own(carrier) if carrier.is_bus())
    }
}

/// Measures everything requested.
///
/// # Errors
/// If something could not be started, or ended by itself.
pub async fn run(options: &Options, board: &mut Board) -> io::Result<Outcome> {
    let (began, clock) = (Zoned::now(), Instant::now());
    let mut environment = environment(options);
    let connections_max = limits::connections_max();
    let stage = Stage::set(options, connections_max).await?;
    let (mut tested, mut skipped) = (Vec::new(), Vec::new());
    for scenario in &options.scenarios {
        board.begins(scenario.name);
        match play::play(&stage, scenario, board).await? {
            play::End::Tested(points, left_out) => {
                board.ends(&format!("{} measured", points.len()));
                skipped.extend(left_out);
                let (name, about) = (scenario.name.to_owned(), scenario.about.to_owned());
                tested.push(Tested { name, about, points });
            }
            play::End::Skipped(why) => {
                board.ends(&format!("skipped: {why}"));
                skipped.push(Skipped { name: scenario.name.to_owned(), why });
            }
        }
    }
    if tested.iter().flat_map(|tested| &tested.points).any(|point| !point.notes.is_empty()) {
        environment.warnings.push("some points have notes: read them before the figures".to_owned());
    }
    Ok(Outcome {
        format: FORMAT,
        began: began.strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        took_ms: u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX),
        command: options.command.clone(),
        environment,
        scenarios: tested,
        skipped,
    })
}

/// Where the run takes place, and its settings.
fn environment(options: &Options) -> Environment {
    let mut here = Environment::here();
    for (name, version) in &options.versions {
        here.know(name, version.as_str());
    }
    here.know("rounds", format!("{} of {:?} after {:?}", options.rounds, options.window, options.warm_up));
    match &options.system {
        System::Given(target) => here.know("target", target.authority.as_str()),
        System::Own(Carrier::Memory) => {
            here.know("broker", "memory");
            here.weakened.push(("broker = memory".to_owned(), "a restart forgets everything".to_owned()));
        }
        System::Own(Carrier::Managed { sync_ms, .. }) => {
            here.know("broker", "managed");
            if *sync_ms > 0 {
                let means = format!("a power failure may take the last {sync_ms} ms of what was accepted");
                here.weakened.push((format!("nats_sync_ms = {sync_ms}"), means));
            }
        }
        System::Own(Carrier::Given(_)) => {
            here.know("broker", "given");
            let means = "the settings of that server decide what a power failure may take";
            here.weakened.push(("sync_interval of that server".to_owned(), means.to_owned()));
        }
    }
    here
}

/// The directory of one scenario's engine.
fn engine_dir(dir: &Path, scenario: &str) -> PathBuf {
    dir.join(scenario)
}

#[cfg(test)]
mod tests;
