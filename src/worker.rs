//! `dynode worker`: runs a worker process, which is the engine alone. It gets its settings from its parent, and ends
//! with its parent, however that ends.

use std::{process::ExitCode, sync::Arc, time::Duration};

use adapters::Registry;
use tracing::{error, info, warn};

mod parent;

pub(crate) use parent::Parent;

use crate::{
    carrier::Carrier,
    cli::WorkerArgs,
    command::complain,
    config::Config,
    engine::{Ground, Watched},
    exit,
    signal::Signals,
    watchdog::Watchdog,
};

/// Runs until asked to stop, or until it must end.
pub(crate) async fn run(mut config: Config, args: WorkerArgs, parent: Parent) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let ground = match Registry::build(&config.providers) {
        Ok(registry) => {
            config.settle(&registry);
            Ground::of(&config, Arc::new(registry))?
        }
        Err(fault) => {
            complain(&fault.to_string());
            return Ok(exit::CONFIG.into());
        }
    };
    let opened = tokio::select! {
        opened = Carrier::open(&config, &ground.seams) => opened,
        _ = signals.next() => return Ok(ExitCode::SUCCESS),
        () = parent.gone() => return Ok(ExitCode::SUCCESS),
    };
    let carrier = match opened {
        Ok(carrier) => carrier,
        Err(fault) => {
            complain(&fault.to_string());
            return Ok(exit::UNAVAILABLE.into());
        }
    };
    let mut system = ground.start(&config, args.node, &carrier.broker).await?;
    let vitals = Watched::default();
    vitals.add(&system.vitals());
    let _watchdog =
        Watchdog::start(config.watchdog.clone(), config.engine.lease(), vitals, carrier.broker.link());
    let in_time = Duration::from_millis(config.engine.drain_ms);
    let (code, limit) = tokio::select! {
        () = system.failed() => {
            error!("the engine gave up: too many of its actors died; see the lines above");
            (exit::NO_PROGRESS, in_time)
        }
        signal = signals.next() => {
            info!(%signal, "draining");
            (0, in_time)
        }
        () = parent.gone() => {
            warn!("the parent is gone; the work is handed back");
            (0, Duration::ZERO)
        }
    };
    tokio::select! {
        _ = system.drain(limit) => {}
        signal = signals.next() => warn!(%signal, "ended at once"),
    }
    carrier.close().await;
    Ok(code.into())
}
