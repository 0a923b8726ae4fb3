//! `dynode chaos provider`, `receiver` and `proxy`: serves what surrounds an engine, until asked to stop.

use std::{
    future,
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
};

use chaos::{
    provider::{self, Provider},
    proxy::{self, Control, Proxy},
    receiver::{self, Receiver},
};

use crate::{
    cli::{ProviderArgs, ProxyArgs, ReceiverArgs},
    command::complain,
    exit,
    signal::Signals,
};

/// Serves the simulated provider.
pub(crate) async fn provider(args: ProviderArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let ProviderArgs { listen, behaviour } = args;
    let provider =
        Provider::bind(provider::Config { listen, behaviour, ..provider::Config::default() }).await;
    let provider = match provider {
        Ok(provider) => provider,
        Err(error) => return Ok(taken("--listen", listen, &error)),
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

/// Serves the callback receiver.
pub(crate) async fn receiver(args: ReceiverArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let ReceiverArgs { listen, replies, secret } = args;
    let config = receiver::Config { listen, replies, secret, ..receiver::Config::default() };
    let receiver = match Receiver::bind(config).await {
        Ok(receiver) => receiver,
        Err(error) => return Ok(taken("--listen", listen, &error)),
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

/// Proxies connections with faults on the way.
pub(crate) async fn proxy(args: ProxyArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let ProxyArgs { listen, upstream, faults, control, seed } = args;
    let config = proxy::Config { listen, upstream: upstream.clone(), faults, seed };
    let proxy = match Proxy::bind(config).await {
        Ok(proxy) => proxy,
        Err(error) => return Ok(taken("--listen", listen, &error)),
    };
    writeln!(io::stdout(), "fault proxy at {} for {upstream}", proxy.local_addr())?;
    let control = match control {
        Some(address) => match Control::bind(address, proxy.link()).await {
            Ok(control) => Some(control),
            Err(error) => return Ok(taken("--control", address, &error)),
        },
        None => None,
    };
    if let Some(control) = &control {
        writeln!(io::stdout(), "its control at http://{}/_sim/link", control.local_addr())?;
    }
    let control = async {
        match control {
            Some(control) => control.serve(future::pending()).await,
            None => future::pending().await,
        }
    };
    let stop = async { _ = signals.next().await };
    tokio::select! {
        served = proxy.serve(stop) => served?,
        served = control => served?,
    }
    Ok(ExitCode::SUCCESS)
}

fn taken(flag: &str, address: SocketAddr, error: &io::Error) -> ExitCode {
    complain(&format!("cannot listen on {address}: {error}; choose another address with {flag}"));
    exit::FAILED.into()
}
