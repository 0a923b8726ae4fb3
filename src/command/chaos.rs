//! `dynode chaos`: one file per tool, each usable alone.

mod run;
mod serve;
mod simulate;

use std::process::ExitCode;

use tokio::runtime::Runtime;

use crate::cli::ChaosCommand;

/// Runs one tool to its end.
pub(crate) fn run(command: ChaosCommand) -> anyhow::Result<ExitCode> {
    // Each simulation has its own runtime, with a clock that stands still.
    let command = match command {
        ChaosCommand::Simulate(args) => return simulate::run(&args),
        other => other,
    };
    let runtime = Runtime::new()?;
    match command {
        ChaosCommand::Simulate(args) => simulate::run(&args),
        ChaosCommand::Run(args) => runtime.block_on(run::run(args)),
        ChaosCommand::Provider(args) => runtime.block_on(serve::provider(args)),
        ChaosCommand::Receiver(args) => runtime.block_on(serve::receiver(args)),
        ChaosCommand::Proxy(args) => runtime.block_on(serve::proxy(args)),
    }
}
