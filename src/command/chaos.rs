//! `dynode chaos`: the servers that stand outside of the engine, each usable alone.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use chaos::{
    provider::{self, Provider},
    receiver::{self, Receiver},
};
use tokio::runtime::Runtime;

use crate::{
    cli::{ChaosCommand, ProviderArgs, ReceiverArgs},
    command::complain,
    exit,
    signal::Signals,
};

/// Serves until it is asked to stop.
pub(crate) fn run(command: ChaosCommand) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::new()?;
    match command {
        ChaosCommand::Provider(args) => runtime.block_on(serve_provider(args)),
        ChaosCommand::Receiver(args) => runtime.block_on(serve_receiver(args)),
    }
}

async fn serve_provider(args: ProviderArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let ProviderArgs { listen, behaviour } = args;
    let provider =
        Provider::bind(provider::Config { listen, behaviour, ..provider::Config::default() }).await;
    let provider = match provider {
        Ok(provider) => provider,
        Err(error) => return Ok(taken(listen, &error)),
    };
    let address = provider.local_addr();
    writeln!(
        io::stdout(),
        "simulated provider at http://{address}/v1, its calls at http://{address}/_sim/calls"
    )?;
    let stop = async { _ = signals.next().await };
    provider.serve(stop).await?;
    Ok(ExitCode::SUCCESS)
}

async fn serve_receiver(args: ReceiverArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let ReceiverArgs { listen, replies, secret } = args;
    let config = receiver::Config { listen, replies, secret, ..receiver::Config::default() };
    let receiver = match Receiver::bind(config).await {
        Ok(receiver) => receiver,
        Err(error) => return Ok(taken(listen, &error)),
    };
    let address = receiver.local_addr();
    writeln!(
        io::stdout(),
        "callback receiver at http://{address}, its deliveries at http://{address}/_sim/deliveries"
    )?;
    let stop = async { _ = signals.next().await };
    receiver.serve(stop).await?;
    Ok(ExitCode::SUCCESS)
}

fn taken(listen: std::net::SocketAddr, error: &io::Error) -> ExitCode {
    complain(&format!("cannot listen on {listen}: {error}; choose another address with --listen"));
    exit::FAILED.into()
}
