//! The engine under test: its configuration, its process, and the addresses of its doors.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::TryStreamExt;
use http::HeaderValue;
use rustix::process::{Pid, Signal, kill_process};
use schemas::Subjects;
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};

use super::{Carrier, LOOK_EVERY, Process, START_MAX, is_ready, launch, loopback, settings};
use crate::run::rig::service::free_port;

/// The prefix on our own broker: the default.
const PREFIX: &str = "dynode";

/// A running engine. Dropping it kills it and its broker.
#[derive(Debug)]
pub(crate) struct Engine {
    /// The address of its HTTP door.
    pub(crate) at: SocketAddr,
    /// Its bus, if it has one.
    pub(crate) bus: Option<String>,
    /// The subjects on the bus.
    pub(crate) subjects: Subjects,
    /// How long it took from its start until it was ready.
    pub(crate) ready_after: Duration,
    process: Process,
    data: PathBuf,
    is_guest: bool,
    operators_key: OnceCell<HeaderValue>,
}

impl Engine {
    /// Starts an engine in `dir`, and returns once it accepts requests.
    pub(crate) async fn start(
        dynode: &Path,
        dir: &Path,
        carrier: &Carrier,
        provider: SocketAddr,
    ) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let (at, nats_port) = (loopback(free_port().await?), free_port().await?);
        let is_guest = matches!(carrier, Carrier::Given(_));
        // On a broker that is not ours, touch nothing of theirs and leave nothing of ours.
        let prefix = if is_guest { format!("bench{:08x}", rand::random::<u32>()) } else { PREFIX.to_owned() };
        let data = dir.join("data");
        let around = settings::Surroundings { carrier, provider, prefix: &prefix, nats_port, data: &data };
        fs::write(dir.join("dynode.toml"), settings::text(&around))?;
        let bus = match carrier {
            Carrier::Memory => None,
            Carrier::Managed { .. } => Some(format!("nats://127.0.0.1:{nats_port}")),
            Carrier::Given(url) => Some(url.clone()),
        };
        let arguments = ["up", "--listen", &at.to_string()].map(str::to_owned).to_vec();
        let began = Instant::now();
        let mut process = Process::start(&launch("engine", dynode, dir, arguments))?;
        while !is_ready(at).await {
            process.must_live(began + START_MAX)?;
            sleep(LOOK_EVERY).await;
        }
        let subjects = Subjects::new(&prefix).map_err(io::Error::other)?;
        Ok(Self {
            at,
            bus,
            subjects,
            ready_after: began.elapsed(),
            process,
            data,
            is_guest,
            operators_key: OnceCell::new(),
        })
    }

    /// Its process id, while it runs.
    pub(crate) fn pid(&self) -> Option<Pid> {
        self.process.pid()
    }

    /// A key that may act for all tenants, as the value of `Authorization`. Once it exists, every client needs a key.
    pub(crate) async fn operators_key(&self) -> io::Result<HeaderValue> {
        #[derive(Deserialize)]
        struct Made {
            key: String,
        }
        let make = async {
            let url = format!("http://{}/v1/keys", self.at);
            let answer = reqwest::Client::new().post(url).json(&json!({"role": "superadmin"})).send().await;
            let made: Made = answer.map_err(io::Error::other)?.json().await.map_err(io::Error::other)?;
            HeaderValue::from_str(&format!("Bearer {}", made.key)).map_err(io::Error::other)
        };
        self.operators_key.get_or_try_init(|| make).await.cloned()
    }

    /// The process of the broker that the engine started.
    pub(crate) fn broker(&self) -> Option<Pid> {
        let noted = fs::read_to_string(self.data.join("nats-server.pid")).ok()?;
        noted.trim().parse().ok().and_then(Pid::from_raw)
    }

    /// Its bus, if that is not ours.
    pub(crate) fn bus_of_others(&self) -> Option<&str> {
        self.bus.as_deref().filter(|_| self.is_guest)
    }

    /// Ends it politely, and removes what it has stored.
    pub(crate) async fn stop(mut self) {
        self.process.stop().await;
        if let Some(url) = self.bus_of_others()
            && let Err(error) = clean(url, self.subjects.prefix()).await
        {
            let prefix = self.subjects.prefix().to_uppercase();
            tracing::warn!(%error, "streams {prefix}_* are left at {url}: delete them");
        }
        // What cannot be removed stays in the directory of the run, which the report names.
        let _ = fs::remove_dir_all(&self.data);
    }
}

impl Drop for Engine {
    /// A killed engine leaves its server behind. Process ids are reused; our paths are not.
    fn drop(&mut self) {
        let Some(pid) = self.broker() else { return };
        let command_line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
        if String::from_utf8_lossy(&command_line).contains(&*self.data.to_string_lossy()) {
            // Fails only if it has ended.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Deletes the streams with a prefix from a broker that is not ours.
async fn clean(url: &str, prefix: &str) -> io::Result<()> {
    let client = async_nats::connect(url).await.map_err(io::Error::other)?;
    let stream = async_nats::jetstream::new(client);
    let names: Vec<String> = stream.stream_names().try_collect().await.map_err(io::Error::other)?;
    let mark = prefix.to_uppercase();
    for name in names.iter().filter(|name| name.contains(&format!("{mark}_"))) {
        stream.delete_stream(name).await.map_err(io::Error::other)?;
    }
    Ok(())
}
