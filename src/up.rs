//! `dynode up`: the life of the process, from the first connection to the last message.

use std::{collections::BTreeMap, io::Write, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use actors::{ProviderLimits, System};
use adapters::{ProviderConfig, Registry};
use broker::{Seams, Topology};
use gateway::{Gateway, ModelInfo};
use schemas::{Action, Subjects};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    banner,
    carrier::Carrier,
    config::{Config, Error, Loaded},
    exit,
    signal::Signals,
    telemetry::RenderMetrics,
    watchdog::Watchdog,
};

/// Runs until it is asked to stop, or must.
pub(crate) async fn run(loaded: Loaded, metrics: RenderMetrics) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let Loaded { config, origins, file } = loaded;
    let registry = match Registry::build(&config.providers) {
        Ok(registry) => Arc::new(registry),
        Err(fault) => return Ok(refuse(&origins.blame(&fault.path, fault.why))),
    };
    let subjects = match Subjects::new(&config.prefix) {
        Ok(subjects) => subjects,
        Err(fault) => return Ok(refuse(&origins.blame("prefix", fault))),
    };
    if let Some(file) = file {
        info!(file = %file.display(), "configuration read");
    }

    let seams = Seams::system();
    let topology = Topology::new(subjects);
    let carrier = match Carrier::open(&config, &seams).await {
        Ok(carrier) => carrier,
        Err(fault) => return Ok(unavailable(&fault)),
    };
    if let Err(fault) = carrier.broker.ensure(&topology.streams(&config.streams.limits())).await {
        carrier.close().await;
        return Ok(unavailable(&fault));
    }
    let code = serve(config, registry, topology, seams, &carrier, metrics, signals).await;
    carrier.close().await;
    code
}

/// Runs the engine and its doors on an open broker.
async fn serve(
    config: Config,
    registry: Arc<Registry>,
    topology: Topology,
    seams: Seams,
    carrier: &Carrier,
    metrics: RenderMetrics,
    mut signals: Signals,
) -> anyhow::Result<ExitCode> {
    let parts = actors::Parts {
        broker: Arc::clone(&carrier.broker),
        topology: topology.clone(),
        registry: Arc::clone(&registry),
        providers: config.providers.iter().map(|(name, provider)| (name.clone(), limits(provider))).collect(),
        seams: seams.clone(),
    };
    let rules = &config.classifier.rules;
    let mut system = System::start(config.engine.clone(), rules, config.callbacks.clone(), parts).await?;
    let parts = gateway::Parts {
        broker: Arc::clone(&carrier.broker),
        topology,
        seams,
        models: models(&registry),
        metrics,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let settings = gateway::Config { listen: config.listen.to_string(), ..config.gateway.clone() };
    let gateway = Gateway::bind(settings, parts).await?;
    let _watchdog = Watchdog::start(config.watchdog.clone(), system.vitals(), carrier.broker.link());
    show_banner(&registry, carrier, gateway.local_addr());

    let stop = CancellationToken::new();
    let serving = gateway.serve(stop.clone().cancelled_owned());
    tokio::pin!(serving);
    let code = tokio::select! {
        served = &mut serving => return served.map(|()| exit::FAILED.into()).map_err(Into::into),
        () = system.failed() => {
            error!("the engine gave up: too many of its actors died; see the lines above");
            exit::NO_PROGRESS
        }
        signal = signals.next() => {
            info!(%signal, "draining; a second signal ends it at once");
            0
        }
    };
    stop.cancel();
    let drain = async {
        if let Err(fault) = serving.await {
            warn!(error = %fault, "gateway");
        }
        system.drain(Duration::from_millis(config.engine.drain_ms)).await;
    };
    tokio::select! {
        () = drain => {}
        signal = signals.next() => warn!(%signal, "ended at once"),
    }
    Ok(code.into())
}

fn limits(provider: &ProviderConfig) -> ProviderLimits {
    ProviderLimits { concurrency: provider.concurrency, requests_per_minute: provider.requests_per_minute }
}

fn models(registry: &Registry) -> Vec<ModelInfo> {
    let info = |model: &adapters::Model| ModelInfo {
        id: model.id.clone(),
        action: model.action,
        owned_by: model.provider.clone(),
    };
    registry.models().iter().map(info).collect()
}

fn show_banner(registry: &Registry, carrier: &Carrier, listen: SocketAddr) {
    let mut providers = BTreeMap::<String, Vec<String>>::new();
    for model in registry.models() {
        providers.entry(model.provider.clone()).or_default().push(model.id.clone());
    }
    let about = carrier.broker.describe();
    let chat = registry.models().iter().find(|model| model.action == Action::ChatCompletion);
    let facts = banner::Facts {
        version: env!("CARGO_PKG_VERSION"),
        broker: about.name,
        survives: about.survives,
        listen,
        providers: providers.into_iter().collect(),
        try_model: chat.map(|model| model.id.clone()),
    };
    // Whoever closed the pipe does not want to know.
    let _ = writeln!(std::io::stdout(), "{}", banner::lines(&facts).join("\n"));
}

fn refuse(fault: &Error) -> ExitCode {
    crate::command::complain(&fault.to_string());
    exit::CONFIG.into()
}

fn unavailable(fault: &broker::Error) -> ExitCode {
    crate::command::complain(&fault.to_string());
    exit::UNAVAILABLE.into()
}
