//! What parity tests: an engine of its own with a broker and a provider beside it, or a running deployment.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use schemas::Secret;
use tokio_util::task::AbortOnDropHandle;

use super::{ground::Ground, handle::Bus, keys};
use crate::{
    provider::{self, Provider},
    run::rig::{
        Canaries, broker,
        own::{listening, ready},
        service::{Launch, Service, free_port},
    },
    scribe::Book,
};

/// The pool with one slot, which can be jammed.
pub(super) const JAMMED_POOL: &str = "narrow";
/// How many requests of one tenant may wait for one pool.
pub(super) const TENANT_QUEUE_MAX: usize = 16;

/// What to test.
#[derive(Debug, Clone)]
pub enum System {
    /// An engine started for the test. Without a nats-server its broker is inside it, where no bus handle reaches it.
    Own {
        /// This program, to be started as the engine.
        dynode: PathBuf,
        /// The nats-server.
        nats_server: Option<PathBuf>,
    },
    /// A deployment with the simulated models of the default configuration.
    Given {
        /// Its gateway, `HOST:PORT`.
        gateway: String,
        /// Its broker, if the bus is to be tested.
        nats: Option<Secret>,
        /// The key for its doors, if they need one.
        key: Option<Secret>,
    },
}

/// The started services, and where to ask.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) ground: Ground,
    _services: Vec<Service>,
    // If it dies, the provider answers nothing, and the cases show that.
    _provider: Option<AbortOnDropHandle<()>>,
    _book: Option<Book>,
}

impl Rig {
    /// Starts what the system needs, with its files in `dir`, and returns when it takes requests.
    pub(super) async fn start(system: &System, dir: &Path) -> io::Result<Self> {
        match system {
            System::Own { dynode, nats_server } => own(dynode, nats_server.as_deref(), dir).await,
            System::Given { gateway, nats, key } => {
                let bus = match nats {
                    Some(url) => Some(Bus::connect(url.expose()).await?),
                    None => None,
                };
                let ground = Ground::new(gateway.clone(), bus, false, key.clone())?;
                Ok(Self { ground, _services: Vec::new(), _provider: None, _book: None })
            }
        }
    }
}

async fn own(dynode: &Path, nats_server: Option<&Path>, dir: &Path) -> io::Result<Rig> {
    let book = Book::begin(&dir.join("processes.jsonl"))?;
    let provider = Provider::bind(provider::Config::default()).await?;
    let provider_at = provider.local_addr();
    let provider = AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = provider.serve(std::future::pending()).await {
            tracing::error!(%error, "the simulated provider has died");
        }
    }));
    let (mut services, mut broker_url) = (Vec::new(), "memory".to_owned());
    if let Some(program) = nats_server {
        let (canaries, at) = (Canaries::plant(), loopback().await?);
        let launch = broker::launch(program, dir, at.port(), &dir.join("store"), &canaries)?;
        services.push(Service::start(launch, book.scribe()).await?);
        listening(at, &dir.join("nats-server.log")).await?;
        broker_url = format!("nats://{}:{}@{at}", broker::USER, canaries.broker_password);
    }
    let at = loopback().await?;
    fs::write(dir.join("dynode.toml"), settings(provider_at))?;
    let log = dir.join("dynode.log");
    let launch = Launch {
        role: "dynode".into(),
        program: dynode.to_owned(),
        arguments: ["up", "--listen", &at.to_string()].map(str::to_owned).to_vec(),
        variables: vec![("DYNODE_BROKER".into(), broker_url.clone())],
        dir: dir.to_owned(),
        log: log.clone(),
    };
    services.push(Service::start(launch, book.scribe()).await?);
    ready(at, &log).await?;
    let bus = match nats_server {
        Some(_) => Some(Bus::connect(&broker_url).await?),
        None => None,
    };
    let mut ground = Ground::new(at.to_string(), bus, true, None)?;
    keys::make(&mut ground).await?;
    Ok(Rig { ground, _services: services, _provider: Some(provider), _book: Some(book) })
}

async fn loopback() -> io::Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port().await?).into())
}

/// Small limits and short clocks. Nothing is retried, so that no budget of retries makes the second handle's answer
/// differ from the first's; and every failing case has its own model, so that no breaker does.
fn settings(provider: SocketAddr) -> String {
    let mut text = format!(
        r#"
log = "info,async_nats=warn"

[gateway]
tenant_queue_max = {TENANT_QUEUE_MAX}
default_deadline_ms = 60000
linger_ms = 3000
ping_interval_ms = 2000

[engine]
retries = 0
first_event_ms = 1000
between_events_ms = 1000
heartbeat_ms = 250
pause_wait_ms = 1000
resume_wait_ms = 500

[waterfalls."chat.completion".sturdy]
steps = ["upstream/upstream-502", "sim/sim-fast"]

[waterfalls."chat.completion".restarting]
steps = ["upstream/upstream-cut-too", "sim/sim-fast"]

[providers.narrow]
kind = "simulated"
concurrency = 1
[providers.narrow.models.narrow]

[providers.limited]
kind = "simulated"
[providers.limited.models.limited]

[providers.flaky]
kind = "simulated"

[providers.upstream]
kind = "openai_compatible"
base_url = "http://{provider}/v1"
api_key = "none is asked for"
"#
    );
    for model in FLAKY {
        text += &format!("[providers.flaky.models.{model}]\n");
    }
    for (model, upstream) in UPSTREAM {
        text += &format!("[providers.upstream.models.{model}]\nupstream = \"{upstream}\"\n");
    }
    text
}

/// Models that fail as their requests ask.
const FLAKY: [&str; 6] = ["failing", "away", "away-too", "breaking", "mute", "silent"];
/// Models of the simulated provider over HTTP: its name for each says how it behaves.
const UPSTREAM: [(&str, &str); 9] = [
    ("upstream", "sim:tokens=12"),
    ("upstream-400", "sim:400"),
    ("upstream-500", "sim:500"),
    ("upstream-502", "sim:502"),
    ("upstream-503", "sim:503"),
    ("upstream-html", "sim:html"),
    ("upstream-malformed", "sim:malformed"),
    ("upstream-cut", "sim:tokens=12,cut-after=6"),
    ("upstream-cut-too", "sim:tokens=12,cut-after=7"),
];
