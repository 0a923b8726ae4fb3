//! One process of the system under test: started, watched, restarted when it ends by itself (as systemd would),
//! signalled only by its own id, and ended with its handle.

use std::{
    fs::File,
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{history::Fact, scribe::Scribe};

/// The pause before restarting a process that ended by itself, as supervisors do.
const RESTART_DELAY: Duration = Duration::from_millis(500);
/// How long a requested end may take before it is forced: the drains of engine and gateway, and a little more.
const END_MAX: Duration = Duration::from_secs(15);
/// How many orders may queue; the harness gives one at a time.
const ORDERS_MAX: usize = 4;

/// How to start a process.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// Its name in the history.
    pub(crate) role: String,
    /// The program and its arguments.
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Variables added to the environment, which is cleared of everything meant for a Dynode.
    pub(crate) variables: Vec<(String, String)>,
    /// Its working directory.
    pub(crate) dir: PathBuf,
    /// The file for its output.
    pub(crate) log: PathBuf,
}

/// A handle to the process.
#[derive(Debug)]
pub(crate) struct Service {
    role: String,
    orders: mpsc::Sender<Order>,
    pid: Arc<Mutex<Option<Pid>>>,
    // If it dies, it kills the process.
    _keeper: AbortOnDropHandle<()>,
}

#[derive(Debug)]
enum Order {
    /// Ends it with this signal; it stays down.
    Down(Signal, oneshot::Sender<Option<ExitStatus>>),
    /// Starts it, if it is down.
    Up(oneshot::Sender<io::Result<()>>),
}

impl Service {
    /// Starts it.
    pub(crate) async fn start(launch: Launch, scribe: Scribe) -> io::Result<Self> {
        let (orders, queue) = mpsc::channel(ORDERS_MAX);
        let pid = Arc::new(Mutex::new(None));
        let role = launch.role.clone();
        let keeper = Keeper { launch, scribe, pid: Arc::clone(&pid), child: None };
        let keeper = AbortOnDropHandle::new(tokio::spawn(keeper.run(queue)));
        let service = Self { role, orders, pid, _keeper: keeper };
        service.up().await?;
        Ok(service)
    }

    /// Its name in the history.
    pub(crate) fn role(&self) -> &str {
        &self.role
    }

    /// Its process id, while it runs.
    pub(crate) fn pid(&self) -> Option<Pid> {
        *self.pid.lock()
    }

    /// Starts it again.
    pub(crate) async fn up(&self) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let _ = self.orders.send(Order::Up(done)).await;
        answer.await.unwrap_or_else(|_| Err(io::Error::other("its keeper has died")))
    }

    /// Ends it with `signal` and waits; returns how it ended, if it ran.
    pub(crate) async fn down(&self, signal: Signal) -> Option<ExitStatus> {
        let (done, answer) = oneshot::channel();
        let _ = self.orders.send(Order::Down(signal, done)).await;
        answer.await.ok().flatten()
    }

    /// Sends it a signal that does not end it.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.pid() {
            Some(pid) => kill_process(pid, signal).map_err(io::Error::from),
            None => Err(io::Error::other("it does not run")),
        }
    }
}

struct Keeper {
    launch: Launch,
    scribe: Scribe,
    pid: Arc<Mutex<Option<Pid>>>,
    child: Option<Child>,
}

impl Keeper {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            let order = match &mut self.child {
                Some(child) => tokio::select! {
                    order = orders.recv() => order,
                    end = child.wait() => {
                        self.ended(end.ok());
                        sleep(RESTART_DELAY).await;
                        // If it cannot be started, everybody misses it, which the run shows.
                        let _ = self.up();
                        continue;
                    }
                },
                None => orders.recv().await,
            };
            match order {
                None => return,
                Some(Order::Up(done)) => _ = done.send(self.up()),
                Some(Order::Down(signal, done)) => _ = done.send(self.down(signal).await),
            }
        }
    }

    fn up(&mut self) -> io::Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let child = self.launch.command()?.spawn()?;
        let id = child.id().unwrap_or_default();
        *self.pid.lock() = Pid::from_raw(id.cast_signed());
        self.child = Some(child);
        let role = self.launch.role.clone();
        self.scribe.write("harness", Fact::Process { role, pid: id, ended: None });
        Ok(())
    }

    async fn down(&mut self, signal: Signal) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // Fails only if it has ended. Its id cannot be reused yet: nobody has waited for it.
            let _ = kill_process(pid, signal);
        }
        let end = match timeout(END_MAX, child.wait()).await {
            Ok(end) => end.ok(),
            Err(_) => {
                tracing::warn!(role = self.launch.role, "it does not end and is killed");
                // Fails only if it has ended.
                let _ = child.start_kill();
                child.wait().await.ok()
            }
        };
        self.ended(end);
        end
    }

    fn ended(&mut self, end: Option<ExitStatus>) {
        self.child = None;
        let Some(pid) = self.pid.lock().take() else { return };
        let ended = end.map_or_else(|| "unknown".to_owned(), told);
        let pid = pid.as_raw_nonzero().get().cast_unsigned();
        let role = self.launch.role.clone();
        self.scribe.write("harness", Fact::Process { role, pid, ended: Some(ended) });
    }
}

impl Launch {
    /// Gives it its own process group, so that Ctrl-C reaches only the harness, which cleans up.
    pub(crate) fn command(&self) -> io::Result<Command> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.dir).env_remove("RUST_LOG");
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("DYNODE_")) {
                command.env_remove(name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.process_group(0).kill_on_drop(true);
        Ok(command)
    }
}

/// How a process ended, as the history says it.
fn told(end: ExitStatus) -> String {
    match (end.code(), end.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => end.to_string(),
    }
}

/// A port that is free now.
pub(crate) async fn free_port() -> io::Result<u16> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    Ok(listener.local_addr()?.port())
}

/// The last lines of a log, for an error about a process that did not start.
pub(crate) fn last_words(log: &Path) -> String {
    const LINES_MAX: usize = 5;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(LINES_MAX).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
