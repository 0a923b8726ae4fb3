//! One `nats-server` process: starts it and says where it listens. Never decides when to restart it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{Error, ErrorKind};

/// A server with a large store reads it before it listens: a million messages took 1.5 s.
const START_SECONDS_MAX: u64 = 30;
/// How often to look for the ports file. The server writes it without notice, usually within 10 ms.
const LOOK_EVERY_MS: u64 = 2;
/// How long a server may take to close its files after SIGTERM; it took 1.4 ms when idle.
const STOP_SECONDS_MAX: u64 = 10;
/// How much of a dead server's last output the error repeats.
const LAST_WORDS_BYTES_MAX: usize = 600;

/// What one server is started with.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The program.
    pub(crate) binary: PathBuf,
    /// Where its configuration, its store and its output are.
    pub(crate) dir: PathBuf,
    /// The port on the loopback interface; a free one if there is none.
    pub(crate) port: Option<u16>,
    /// The largest message, in bytes.
    pub(crate) message_bytes_max: usize,
    /// Its configuration, except for its address and its largest message.
    pub(crate) settings: String,
    /// Whether it gets a process group of its own, so that Ctrl-C in the terminal does not reach it.
    pub(crate) own_group: bool,
}

/// A running server, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    /// The port it listens on.
    pub(crate) port: u16,
}

/// The file in which the server says where it listens.
#[derive(Debug, Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl Setup {
    /// The configuration file. Its path also identifies a process as ours.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.dir.join("nats-server.conf")
    }

    /// The store, as a string of the configuration.
    pub(crate) fn store(&self) -> String {
        quoted(&self.dir.join("store"))
    }

    /// Where the server logs, if the settings say so.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.dir.join("nats-server.log")
    }

    fn output_file(&self) -> PathBuf {
        self.dir.join("nats-server.out")
    }

    fn ports_dir(&self) -> PathBuf {
        self.dir.join("ports")
    }

    fn config(&self) -> String {
        let port = self.port.map_or(-1, i32::from);
        let ports = quoted(&self.ports_dir());
        format!(
            "# Written anew at every start.\nlisten: \"127.0.0.1:{port}\"\nports_file_dir: {ports}\nmax_payload: {}\n{}\n",
            self.message_bytes_max, self.settings
        )
    }
}

impl Process {
    /// Starts a server and returns when it listens.
    pub(crate) async fn start(setup: &Setup) -> Result<Self, Error> {
        let output = prepare(setup).map_err(|error| {
            let dir = setup.dir.display();
            Error::new(ErrorKind::Invalid, format!("cannot write in {dir}: give another data directory"))
                .with_source(error)
        })?;
        let mut command = Command::new(&setup.binary);
        command.arg("--config").arg(setup.config_file()).stdin(Stdio::null()).kill_on_drop(true);
        if let Ok(errors) = output.try_clone() {
            command.stderr(errors);
        }
        command.stdout(output);
        if setup.own_group {
            command.process_group(0);
        }
        let binary = setup.binary.display();
        let child = command.spawn().map_err(|error| {
            Error::new(ErrorKind::NotFound, format!("cannot start {binary}: is it a nats-server?"))
                .with_source(error)
        })?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| Error::new(ErrorKind::Closed, format!("{binary} ended at once")))?;
        let mut process = Self { child, pid, port: 0 };
        process.port = process.listening(setup).await?;
        Ok(process)
    }

    /// Its process id.
    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until it has ended and says how.
    pub(crate) async fn ended(&mut self) -> String {
        self.child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string())
    }

    /// Asks it to end, and kills it if it does not.
    pub(crate) async fn stop(&mut self) {
        self.signal(Signal::TERM);
        if timeout(Duration::from_secs(STOP_SECONDS_MAX), self.child.wait()).await.is_err() {
            tracing::warn!(pid = %self.pid, "nats-server did not end in time and is killed");
            self.kill().await;
        }
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        // It fails only if the child has ended already, which is what is wanted.
        let _ = self.child.kill().await;
    }

    /// Sends it a signal, unless it has ended: the id of a child that was not waited for is not reused.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.child.id().is_some()
            && let Err(error) = kill_process(self.pid, signal)
        {
            tracing::debug!(pid = %self.pid, %error, "nats-server took no signal");
        }
    }

    /// Waits for the ports file, which says both that it listens and where.
    async fn listening(&mut self, setup: &Setup) -> Result<u16, Error> {
        let file = setup.ports_dir().join(format!("nats-server_{}.ports", self.pid));
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        while Instant::now() < deadline {
            if let Some(port) = fs::read(&file).ok().and_then(|bytes| port_of(&bytes)) {
                return Ok(port);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                let said = last_words(setup);
                return Err(Error::new(
                    ErrorKind::Closed,
                    format!("nats-server ended at its start ({status}): {said}"),
                ));
            }
            sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
        }
        let said = last_words(setup);
        Err(Error::new(
            ErrorKind::Timeout,
            format!("nats-server did not listen in {START_SECONDS_MAX} s: {said}"),
        ))
    }
}

/// Writes the configuration and removes the ports files of earlier processes, whose ids may recur.
fn prepare(setup: &Setup) -> std::io::Result<fs::File> {
    let ports = setup.ports_dir();
    if ports.exists() {
        fs::remove_dir_all(&ports)?;
    }
    fs::create_dir_all(&ports)?;
    fs::write(setup.config_file(), setup.config())?;
    fs::File::create(setup.output_file())
}

fn port_of(ports_file: &[u8]) -> Option<u16> {
    // A file that is being written does not parse yet.
    let ports: Ports = serde_json::from_slice(ports_file).ok()?;
    ports.nats.first()?.rsplit_once(':')?.1.parse().ok()
}

fn last_words(setup: &Setup) -> String {
    // The server writes a fault in its configuration to its output, everything later to its log.
    let output = fs::read_to_string(setup.output_file()).ok().filter(|said| !said.trim().is_empty());
    let said = output.or_else(|| fs::read_to_string(setup.log_file()).ok()).unwrap_or_default();
    let start = said.len().saturating_sub(LAST_WORDS_BYTES_MAX);
    said.get(said.ceil_char_boundary(start)..).unwrap_or_default().trim().to_owned()
}

/// A path as a string of the server's configuration language.
pub(crate) fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}
