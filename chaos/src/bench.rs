//! `dynode bench`: what requests cost, and how long they take. It sees the engine from outside, measures what stands around
//! it in the same run, and decides nothing about what is good: a comparison does.

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

/// What is measured.
#[derive(Debug, Clone)]
pub enum System {
    /// An engine that is started for it, on this.
    Own(Carrier),
    /// A server that runs already and speaks OpenAI's API.
    Given(Target),
}

/// A server of somebody else.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where: `HOST:PORT`.
    pub authority: String,
    /// The model that is asked for, where that is not the one of the simulated provider.
    pub model: Option<String>,
    /// The header that its key goes in, where it wants one.
    pub key: Option<HeaderValue>,
    /// Where it looks for its provider, if that is to be the simulated one.
    pub provider: Option<SocketAddr>,
    /// Its process, where it runs on this machine.
    pub pid: Option<u32>,
}

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// What, in order.
    pub scenarios: Vec<&'static Scenario>,
    /// Of whom.
    pub system: System,
    /// Whether the same hops are measured bare as well.
    pub floor: bool,
    /// How many rounds.
    pub rounds: u32,
    /// How long a round is measured.
    pub window: Duration,
    /// How long it is warmed up before that.
    pub warm_up: Duration,
    /// How many requests the backlog has.
    pub backlog: u32,
    /// How long the soak takes.
    pub soak: Duration,
    /// One load in place of those of the scenarios.
    pub load: Option<Load>,
    /// This program, which is started as all that is needed.
    pub dynode: PathBuf,
    /// Where the files of the run go: an empty directory.
    pub dir: PathBuf,
    /// The command that would run it again.
    pub command: String,
    /// What takes part, by name and version.
    pub versions: Vec<(String, String)>,
}

impl Options {
    /// The cases to be measured, with the load that was asked for in place of theirs.
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

    /// Whether there is a bus to publish on.
    const fn has_bus(&self) -> bool {
        matches!(&self.system, System::Own(carrier) if carrier.is_bus())
    }
}

/// Measures all that is asked for.
///
/// # Errors
/// When something could not be started, or ended by itself.
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

/// Where it runs, and by which settings.
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
            let means = "what a power failure may take is decided where the server was started";
            here.weakened.push(("sync_interval of that server".to_owned(), means.to_owned()));
        }
    }
    here
}

/// Where the engine of one scenario has its files.
fn engine_dir(dir: &Path, scenario: &str) -> PathBuf {
    dir.join(scenario)
}

#[cfg(test)]
mod tests;
