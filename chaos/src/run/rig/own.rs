//! Our own engine: broker, gateways and their workers as processes, with a proxy on each of their links.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal};
use schemas::Secret;
use tokio::time::{Instant, sleep};

use super::{
    Canaries, Links, Outside, broker,
    clock::WallClock,
    disk::Disk,
    service::{Launch, Service, free_port, last_words},
    settings,
    workers::Workers,
};
use crate::{
    run::{
        Programs,
        load::{Bus, http_client},
        scenario::{Fault, Link, Scenario},
    },
    scribe::Scribe,
};

/// How long the engine may take to start.
const START_MAX: Duration = Duration::from_secs(20);
/// How often to poll whether it is up; there is no notification.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The worker processes of the first gateway; the second gateway does its work itself.
const WORKERS: usize = 2;

/// What the engine is started with.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) dir: &'a Path,
    pub(super) programs: &'a Programs,
    pub(super) canaries: &'a Canaries,
    pub(super) outside: &'a Outside,
    pub(super) scribe: &'a Scribe,
}

/// The processes.
#[derive(Debug)]
pub(crate) struct Own {
    /// The broker's process.
    pub(crate) broker: Service,
    /// The gateways' processes.
    pub(crate) gateways: Vec<Service>,
    /// The workers of the first gateway.
    pub(crate) workers: Mutex<Workers>,
    broker_at: SocketAddr,
    broker_password: Secret,
    disk: Option<Disk>,
    clock: Option<WallClock>,
}

impl Own {
    /// Starts everything, and returns once it accepts requests, with the addresses of the gateways for the clients.
    pub(super) async fn start(
        parts: &Parts<'_>,
        links: &mut Links,
        seed: u64,
    ) -> io::Result<(Self, Vec<SocketAddr>)> {
        let Parts { scenario, dir, programs, canaries, outside, scribe } = *parts;
        let store = dir.join("store");
        fs::create_dir_all(&store)?;
        let needs = |wanted: fn(&Fault) -> bool| scenario.steps.iter().any(|step| wanted(&step.fault));
        let disk =
            needs(|fault| matches!(fault, Fault::DiskFull)).then(|| Disk::mount(&store)).transpose()?;
        let clock =
            needs(|fault| matches!(fault, Fault::Clock(_))).then(|| WallClock::new(dir)).transpose()?;
        let broker_at = loopback(free_port().await?);
        let broker = broker::launch(&programs.nats_server, dir, broker_at.port(), &store, canaries)?;
        let broker = Service::start(broker, scribe.clone()).await?;

        let provider = links.add(Link::Provider, outside.provider_at.to_string(), seed).await?;
        links.add(Link::Receiver, outside.receiver_at.to_string(), seed).await?;
        let proxied = links.add(Link::Broker, broker_at.to_string(), seed).await?;
        let url = Secret::new(format!("nats://{}:{}@{proxied}", broker::USER, canaries.broker_password));
        let around = settings::Surroundings {
            provider,
            provider_key_file: &dir.join("provider.key"),
            broker: &url,
            client_key: &canaries.client_key,
        };
        fs::write(around.provider_key_file, &canaries.provider_key)?;
        fs::write(dir.join("dynode.toml"), settings::text(&scenario.settings, &around)?)?;
        listening(broker_at, &dir.join("nats-server.log")).await?;

        let (mut gateways, mut doors) = (Vec::new(), Vec::new());
        for number in 1..=scenario.settings.gateways {
            let at = loopback(free_port().await?);
            let mut launch = gateway(number, at, dir, programs, canaries);
            launch.variables.extend(clock.iter().flat_map(WallClock::variables));
            gateways.push(Service::start(launch, scribe.clone()).await?);
            doors.push(if number == 1 { links.add(Link::Clients, at.to_string(), seed).await? } else { at });
            ready(at, &dir.join(format!("gateway-{number}.log"))).await?;
        }
        // The workers of the first gateway; no other has any.
        let log = dir.join("gateway-1.log");
        let workers = Mutex::new(Workers::new(scribe.clone(), log.clone()));
        let broker_password = Secret::new(&canaries.broker_password);
        let own = Self { broker, gateways, workers, broker_at, broker_password, disk, clock };
        own.workers_ready(&log).await?;
        Ok((own, doors))
    }

    /// A connection to the bus without a proxy: its clients are not part of the engine.
    pub(crate) async fn bus(&self) -> io::Result<Bus> {
        Bus::connect(self.broker_at, broker::USER, &self.broker_password).await
    }

    /// Updates the list of workers.
    pub(crate) fn look(&self) {
        self.workers.lock().look(&self.gateway_pids());
    }

    /// The processes of the engine, by role.
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

    /// Frees space on the disk, and restarts the broker, which has given up its streams.
    pub(crate) async fn free_disk(&self) -> io::Result<()> {
        self.disk.as_ref().ok_or_else(|| missing("disk"))?.free()?;
        self.broker.down(Signal::TERM).await;
        self.broker.up().await
    }

    /// Makes the clock of the engine's processes wrong by this many seconds.
    pub(crate) fn shift_clock(&self, seconds: i64) -> io::Result<()> {
        self.clock.as_ref().ok_or_else(|| missing("clock"))?.shift(seconds)
    }

    /// Stops the broker.
    pub(crate) async fn stop_broker(&self) {
        self.broker.down(Signal::TERM).await;
    }

    /// Stops the engine politely, then by force.
    pub(crate) async fn stop_engine(&self) {
        for gateway in &self.gateways {
            gateway.down(Signal::TERM).await;
        }
        self.look();
    }

    fn gateway_pids(&self) -> Vec<Pid> {
        self.gateways.iter().filter_map(Service::pid).collect()
    }

    /// Waits for the worker processes. Running is enough here; the quiet phase shows whether they work.
    async fn workers_ready(&self, log: &Path) -> io::Result<()> {
        let deadline = Instant::now() + START_MAX;
        loop {
            self.look();
            if self.workers.lock().live().len() >= WORKERS {
                return Ok(());
            }
            late(deadline, "the worker processes", log)?;
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
pub(crate) async fn listening(at: SocketAddr, log: &Path) -> io::Result<()> {
    let deadline = Instant::now() + START_MAX;
    while tokio::net::TcpStream::connect(at).await.is_err() {
        late(deadline, "nats-server", log)?;
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Waits until a gateway reports ready.
pub(crate) async fn ready(at: SocketAddr, log: &Path) -> io::Result<()> {
    let client = http_client()?;
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
