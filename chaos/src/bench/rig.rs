//! Starts what a benchmark runs on: the provider, the engine with its broker, and the bare pipeline, each as its own
//! process in the run's directory. Each scenario gets its own engine, so that none finds what another left behind.

mod engine;
mod process;
mod settings;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};

pub(super) use engine::Engine;
pub(super) use process::Process;

use crate::run::rig::service::{Launch, free_port};

/// How long a process may take to start.
const START_MAX: Duration = Duration::from_secs(30);
/// How often to poll; there is no notification.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The broker of our own engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carrier {
    /// The engine's own memory.
    Memory,
    /// A nats-server that the engine starts.
    Managed {
        /// The program.
        server: PathBuf,
        /// How often it syncs its files to disk, in milliseconds; 0 syncs before each acknowledgement.
        sync_ms: u32,
    },
    /// Servers that are already running.
    Given(String),
}

impl Carrier {
    /// Whether requests can be published to it from outside the engine.
    #[must_use]
    pub const fn is_bus(&self) -> bool {
        !matches!(self, Self::Memory)
    }
}

/// Starts the provider on a free port, or where a given engine expects it.
pub(super) async fn provider(
    dynode: &Path,
    dir: &Path,
    at: Option<SocketAddr>,
) -> io::Result<(Process, SocketAddr)> {
    let at = match at {
        Some(at) => at,
        None => loopback(free_port().await?),
    };
    let arguments = ["bench", "provider", "--listen", &at.to_string()].map(str::to_owned).to_vec();
    let mut process = Process::start(&launch("provider", dynode, dir, arguments))?;
    let deadline = Instant::now() + START_MAX;
    while TcpStream::connect(at).await.is_err() {
        process.must_live(deadline)?;
        sleep(LOOK_EVERY).await;
    }
    Ok((process, at))
}

/// Starts the bare pipeline on the broker at `url`.
pub(super) async fn bare(dynode: &Path, dir: &Path, url: &str) -> io::Result<Process> {
    let arguments = ["bench", "bare", "--broker", url].map(str::to_owned).to_vec();
    let mut process = Process::start(&launch("bare", dynode, dir, arguments))?;
    let deadline = Instant::now() + START_MAX;
    while !process.has_said("ready") {
        process.must_live(deadline)?;
        sleep(LOOK_EVERY).await;
    }
    Ok(process)
}

fn launch(role: &str, dynode: &Path, dir: &Path, arguments: Vec<String>) -> Launch {
    Launch {
        role: role.to_owned(),
        program: dynode.to_owned(),
        arguments,
        variables: Vec::new(),
        dir: dir.to_owned(),
        log: dir.join(format!("{role}.log")),
    }
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Whether the server at `at` reports ready.
async fn is_ready(at: SocketAddr) -> bool {
    const GOOD: &[u8] = b"HTTP/1.1 200";
    let ask = async {
        let mut stream = TcpStream::connect(at).await?;
        stream
            .write_all(b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await?;
        let mut head = [0; GOOD.len()];
        stream.read_exact(&mut head).await?;
        io::Result::Ok(head == GOOD)
    };
    ask.await.unwrap_or(false)
}
