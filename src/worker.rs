//! `dynode worker`: the life of a worker process, which is the engine alone. Its settings come from its parent, and it ends
//! with its parent, however that ends.

use std::{io, process::ExitCode, sync::mpsc, thread, time::Duration};

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    carrier::Carrier,
    cli::WorkerArgs,
    command::complain,
    config::{Config, Origins},
    engine::Ground,
    exit,
    signal::Signals,
    watchdog::Watchdog,
};

/// How long the process may live on after its parent. Handing work back may take five seconds.
const ORPHAN_MAX: Duration = Duration::from_secs(10);

/// The other end of standard input.
#[derive(Debug)]
pub(crate) struct Parent {
    gone: CancellationToken,
}

impl Parent {
    /// Reads the settings, and watches the parent from then on: standard input ends when it dies, even by a kill.
    ///
    /// On a thread, and not in the runtime, so that a runtime which stands still outlives its parent no longer.
    pub(crate) fn meet() -> anyhow::Result<(Config, Self)> {
        let mut line = String::new();
        io::stdin().read_line(&mut line).context("standard input")?;
        let config = Config::from_parent(&line).context(
            "no settings on standard input: `dynode up --workers N` starts workers, and nobody else can",
        )?;
        let gone = CancellationToken::new();
        let seen = gone.clone();
        thread::spawn(move || {
            // An error is an end as well.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            seen.cancel();
            // Nobody sends: this only waits. The end of the process comes first where all goes well.
            let (_never, end) = mpsc::channel::<()>();
            let _ = end.recv_timeout(ORPHAN_MAX);
            error!("the parent is gone and the work was not handed back in time; the process ends");
            std::process::exit(exit::FAILED.into());
        });
        Ok((config, Self { gone }))
    }
}

/// Runs until it is asked to stop, or must.
pub(crate) async fn run(config: Config, args: WorkerArgs, parent: Parent) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let ground = match Ground::of(&config, &Origins::default()) {
        Ok(ground) => ground,
        Err(fault) => {
            complain(&fault.to_string());
            return Ok(exit::CONFIG.into());
        }
    };
    let carrier = match Carrier::open(&config, &ground.seams).await {
        Ok(carrier) => carrier,
        Err(fault) => {
            complain(&fault.to_string());
            return Ok(exit::UNAVAILABLE.into());
        }
    };
    let mut system = ground.start(&config, args.node, &carrier.broker).await?;
    let _watchdog = Watchdog::start(config.watchdog.clone(), system.vitals(), carrier.broker.link());
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
        () = parent.gone.cancelled() => {
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
