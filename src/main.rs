//! Dynode: a self-hosted execution engine for AI work. Dispatches to the commands.

use std::{
    io::{self, ErrorKind},
    process::ExitCode,
};

use clap::Parser;
use tokio::runtime::Runtime;

mod banner;
mod carrier;
mod cli;
mod command;
mod config;
mod costs;
mod engine;
mod exit;
mod fleet;
mod reload;
mod signal;
mod telemetry;
mod up;
mod watchdog;
mod worker;

use cli::{Cli, Command, UpArgs, WorkerArgs};
use command::complain;
use config::Sources;
use telemetry::Telemetry;
use worker::Parent;

/// The program makes many small allocations on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Every TLS client needs a crypto provider; this fails only if one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    dispatch(Cli::parse()).unwrap_or_else(|error| {
        // A reader that closes the pipe, such as `head`, has seen enough.
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        complain(&format!("{error:#}"));
        exit::FAILED.into()
    })
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command.unwrap_or(Command::Up(cli.up)) {
        Command::Up(args) => up(&args),
        Command::Send(args) => command::send::run(&args),
        Command::Chat(args) => command::chat::run(&args),
        Command::Watch(args) => command::watch::run(&args),
        Command::Top(args) => command::top::run(&args),
        Command::Estimate(args) => command::estimate::run(&args),
        Command::Cost(args) => command::cost::run(&args),
        Command::Dead(command) => command::dead::run(command),
        Command::Callbacks(command) => command::callbacks::run(&command),
        Command::Key(command) => command::key::run(command),
        Command::Schema(args) => command::schema::run(&args),
        Command::Openapi => command::openapi::run(),
        Command::Config(args) => command::config::run(args),
        Command::NatsAuth(args) => command::nats_auth::run(&args),
        Command::Provider(command) => command::provider::run(command),
        Command::Parity(args) => command::parity::run(&args),
        Command::Bench(args) => command::bench::run(args),
        Command::Chaos(command) => command::chaos::run(command),
        Command::Worker(args) => worker(args),
    }
}

/// Runs the engine: settings, telemetry, runtime, and back.
fn up(args: &UpArgs) -> anyhow::Result<ExitCode> {
    let sources = Sources::of_process(args.config.clone(), args.flags());
    let loaded = match sources.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            complain(&error.to_string());
            return Ok(exit::CONFIG.into());
        }
    };
    let telemetry = Telemetry::init(&loaded.config, None)?;
    let code = Runtime::new()?.block_on(up::run(sources, loaded, telemetry.render_metrics()));
    telemetry.shutdown();
    code
}

/// Runs one of several worker processes beside the process that runs `up`.
fn worker(args: WorkerArgs) -> anyhow::Result<ExitCode> {
    let config = Parent::settings()?;
    let telemetry = Telemetry::init(&config, Some(args.slot))?;
    let parent = Parent::listen(telemetry.render_metrics());
    let code = Runtime::new()?.block_on(worker::run(config, args, parent));
    telemetry.shutdown();
    code
}
