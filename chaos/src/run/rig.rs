//! The system under test and all that stands around it: broker, gateways with their workers, provider, callback receiver,
//! and a fault proxy on each link. Everything is of one run only, and ends with it.

mod broker;
mod canary;
mod clock;
mod disk;
mod links;
mod outside;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod workers;

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal};
use schemas::Secret;
use tokio::time::{Instant, sleep};

pub(crate) use canary::Canaries;
use clock::WallClock;
use disk::Disk;
pub(crate) use links::Links;
pub(crate) use outside::Outside;
use service::{Launch, Service, free_port, last_words};
use workers::Workers;

use super::{
    Programs,
    load::Bus,
    scenario::{Fault, Link, Scenario},
};
use crate::scribe::Scribe;

/// How long the engine may take to come up.
const START_MAX: Duration = Duration::from_secs(20);
/// How often it is asked whether it is up; nobody tells.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a polite end may take before it is forced: the engine's drain, and the gateway's, and a little more.
const END_MAX: Duration = Duration::from_secs(15);
/// Worker processes of the first gateway; the second does its work itself.
const WORKERS: usize = 2;

/// Everything that a scenario runs on.
#[derive(Debug)]
pub(crate) struct Rig {
    /// Where its files are.
    pub(crate) dir: PathBuf,
    /// The planted secrets.
    pub(crate) canaries: Canaries,
    /// The links.
    pub(crate) links: Links,
    /// Provider and receiver.
    pub(crate) outside: Outside,
    /// The broker's process.
    pub(crate) broker: Service,
    /// The gateways' processes.
    pub(crate) gateways: Vec<Service>,
    /// The workers of the first gateway.
    pub(crate) workers: Mutex<Workers>,
    /// Where the broker listens.
    pub(crate) broker_at: SocketAddr,
    disk: Option<Disk>,
    clock: Option<WallClock>,
    /// Where the gateways listen, as the clients know them: the first behind its proxy.
    pub(crate) doors: Vec<SocketAddr>,
}

impl Rig {
    /// Starts all of it in `dir`, and returns when the engine takes requests.
    pub(crate) async fn start(
        scenario: &Scenario,
        dir: &Path,
        programs: &Programs,
        seed: u64,
        scribe: &Scribe,
    ) -> io::Result<Self> {
        let canaries = Canaries::plant();
        let outside = Outside::start(&canaries, scribe).await?;
        let broker_at = loopback(free_port().await?);
        let store = dir.join("store");
        fs::create_dir_all(&store)?;
        let needs = |wanted: fn(&Fault) -> bool| scenario.steps.iter().any(|step| wanted(&step.fault));
        let disk =
            needs(|fault| matches!(fault, Fault::DiskFull)).then(|| Disk::mount(&store)).transpose()?;
        let clock =
            needs(|fault| matches!(fault, Fault::Clock(_))).then(|| WallClock::new(dir)).transpose()?;
        let broker = broker::launch(&programs.nats_server, dir, broker_at.port(), &store, &canaries)?;
        let broker = Service::start(broker, scribe.clone()).await?;

        let mut links = Links::default();
        let provider = links.add(Link::Provider, outside.provider_at, seed).await?;
        links.add(Link::Receiver, outside.receiver_at, seed).await?;
        let proxied = links.add(Link::Broker, broker_at, seed).await?;
        let url = Secret::new(format!("nats://{}:{}@{proxied}", broker::USER, canaries.broker_password));
        let around =
            settings::Surroundings { provider, provider_key_file: &dir.join("provider.key"), broker: &url };
        fs::write(around.provider_key_file, &canaries.provider_key)?;
        fs::write(dir.join("dynode.toml"), settings::text(&scenario.settings, &around))?;
        listening(broker_at, &dir.join("nats-server.log")).await?;

        let (mut gateways, mut doors) = (Vec::new(), Vec::new());
        for number in 1..=scenario.settings.gateways {
            let at = loopback(free_port().await?);
            let mut launch = gateway(number, at, dir, programs, &canaries);
            launch.variables.extend(clock.iter().flat_map(WallClock::variables));
            gateways.push(Service::start(launch, scribe.clone()).await?);
            doors.push(if number == 1 { links.add(Link::Clients, at, seed).await? } else { at });
            ready(at, &dir.join(format!("gateway-{number}.log"))).await?;
        }
        let workers = Mutex::new(Workers::new(scribe.clone()));
        let dir = dir.to_owned();
        let rig =
            Self { dir, canaries, links, outside, broker, gateways, workers, broker_at, disk, clock, doors };
        rig.workers_ready().await?;
        Ok(rig)
    }

    /// A connection to the bus, without a proxy: its clients stand beside the engine.
    pub(crate) async fn bus(&self) -> io::Result<Bus> {
        Bus::connect(self.broker_at, broker::USER, &Secret::new(&self.canaries.broker_password)).await
    }

    /// Looks again who the workers are.
    pub(crate) fn look(&self) {
        self.workers.lock().look(&self.gateway_pids());
    }

    /// The processes of the engine, by their roles.
    pub(crate) fn processes(&self) -> Vec<(String, Pid)> {
        let gateways = self.gateways.iter().filter_map(|one| Some((one.role().to_owned(), one.pid()?)));
        let workers = self.workers.lock();
        let workers = workers.live().iter().map(|worker| (format!("worker-{}", worker.slot), worker.pid));
        gateways.chain(workers).collect()
    }

    /// Fills the disk of the broker.
    pub(crate) fn fill_disk(&self) -> io::Result<()> {
        self.disk.as_ref().ok_or_else(|| missing("disk"))?.fill()
    }

    /// Gives the disk its room again, and starts the broker again: it has given its streams up.
    pub(crate) async fn free_disk(&self) -> io::Result<()> {
        self.disk.as_ref().ok_or_else(|| missing("disk"))?.free()?;
        self.broker.down(Signal::TERM).await;
        self.broker.up().await
    }

    /// Has the clock of the engine's processes go wrong by so many seconds.
    pub(crate) fn shift_clock(&self, seconds: i64) -> io::Result<()> {
        self.clock.as_ref().ok_or_else(|| missing("clock"))?.shift(seconds)
    }

    /// Ends the broker.
    pub(crate) async fn stop_broker(&self) {
        self.broker.down(Signal::TERM).await;
    }

    /// Ends the engine politely, and what does not go by force.
    pub(crate) async fn stop_engine(&self) {
        for gateway in &self.gateways {
            if tokio::time::timeout(END_MAX, gateway.down(Signal::TERM)).await.is_err() {
                tracing::warn!("a gateway does not end and is killed");
                gateway.down(Signal::KILL).await;
            }
        }
        self.look();
    }

    fn gateway_pids(&self) -> Vec<Pid> {
        self.gateways.iter().filter_map(Service::pid).collect()
    }

    /// Waits for the workers. They are there when they run; that they work shows the quiet phase.
    async fn workers_ready(&self) -> io::Result<()> {
        let deadline = Instant::now() + START_MAX;
        loop {
            self.look();
            if self.workers.lock().live().len() >= WORKERS {
                return Ok(());
            }
            late(deadline, "the worker processes", &self.dir.join("gateway-1.log"))?;
            sleep(LOOK_EVERY).await;
        }
    }
}

fn gateway(number: usize, at: SocketAddr, dir: &Path, programs: &Programs, canaries: &Canaries) -> Launch {
    let workers = if number == 1 { WORKERS } else { 0 };
    let arguments = ["up", "--listen", &at.to_string(), "--workers", &workers.to_string()].map(str::to_owned);
    Launch {
        role: format!("gateway-{number}"),
        program: programs.dynode.clone(),
        arguments: arguments.to_vec(),
        variables: vec![("DYNODE_CALLBACKS__DEFAULT_SECRET".into(), canaries.default_secret())],
        dir: dir.to_owned(),
        log: dir.join(format!("gateway-{number}.log")),
    }
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Waits until something listens.
async fn listening(at: SocketAddr, log: &Path) -> io::Result<()> {
    let deadline = Instant::now() + START_MAX;
    while tokio::net::TcpStream::connect(at).await.is_err() {
        late(deadline, "nats-server", log)?;
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Waits until a gateway says that it takes requests.
async fn ready(at: SocketAddr, log: &Path) -> io::Result<()> {
    let client = super::load::http_client()?;
    let url = format!("http://{at}/health/ready");
    let deadline = Instant::now() + START_MAX;
    while !client.get(&url).send().await.is_ok_and(|response| response.status().is_success()) {
        late(deadline, "the gateway", log)?;
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn missing(what: &str) -> io::Error {
    io::Error::other(format!("this scenario has no {what} of its own"))
}

fn late(deadline: Instant, what: &str, log: &Path) -> io::Result<()> {
    if Instant::now() < deadline {
        return Ok(());
    }
    let words = last_words(log);
    let file = log.display();
    Err(io::Error::other(format!("{what} did not come up in {START_MAX:?}; the end of {file}:\n{words}")))
}
