//! `dynode bench`: runs the subcommand and compares figures.

mod measure;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, bail};
use chaos::bench::{
    self, FORMAT, Outcome,
    compare::{Change, compare},
    report,
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

use crate::{
    cli::{BenchArgs, BenchCommand, BenchProviderArgs, CompareArgs},
    exit,
};

/// Nothing could be compared, so "nothing is worse" is not proved.
const PROVES_NOTHING: u8 = 3;

/// Runs one subcommand to its end.
pub(crate) fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    // One thread makes the load, since it shares the machine with the system under test.
    let lean = || Builder::new_current_thread().enable_all().build();
    match args.command {
        None => lean()?.block_on(measure::run(args.measure)),
        Some(BenchCommand::Compare(args)) => compared(&args),
        Some(BenchCommand::Provider(args)) => lean()?.block_on(provider(&args)),
        Some(BenchCommand::Bare(args)) => Runtime::new()?.block_on(async {
            let ready = || _ = writeln!(io::stdout(), "ready");
            bench::bare::carry(&args.broker, ready).await?;
            Ok(ExitCode::SUCCESS)
        }),
    }
}

/// Serves until it is killed.
async fn provider(args: &BenchProviderArgs) -> anyhow::Result<ExitCode> {
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
    bench::provider::serve(listener).await?;
    Ok(ExitCode::SUCCESS)
}

/// Reports what became worse; exit code 0: nothing, 1: something, 3: nothing could be compared.
fn compared(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let comparison = compare(&read(&args.before)?, &read(&args.after)?, args.tolerance);
    write!(io::stdout(), "{}", report::comparison(&comparison))?;
    Ok(match comparison.lines.len() {
        0 => PROVES_NOTHING.into(),
        _ if comparison.count(Change::Worse) > 0 => exit::FAILED.into(),
        _ => ExitCode::SUCCESS,
    })
}

fn read(file: &Path) -> anyhow::Result<Outcome> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let outcome: Outcome = serde_json::from_str(&text)
        .with_context(|| format!("{} holds no figures of `dynode bench`", file.display()))?;
    if outcome.format != FORMAT {
        bail!("{} is of another version of `dynode bench`: measure again", file.display());
    }
    Ok(outcome)
}
