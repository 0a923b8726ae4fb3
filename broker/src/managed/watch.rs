//! Watches the managed server: restarts it on the same port when it dies, ends it when told to.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{
    process::{Process, Setup},
    stale,
};

/// The pause before a restart: not noticeable after one death, and no busy loop if every start fails.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A server that ran this long was healthy: the next death starts a new backoff.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// The process that runs now.
#[derive(Debug)]
pub(super) struct Current {
    port: u16,
    pid: Mutex<Option<Pid>>,
}

impl Current {
    /// Notes that `process` runs.
    pub(super) fn new(process: &Process) -> Self {
        Self { port: process.port, pid: Mutex::new(Some(process.pid())) }
    }

    /// The port it listens on, whatever process runs.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// The process id, for people.
    pub(super) fn pid(&self) -> Option<u32> {
        self.pid.lock().map(|pid| pid.as_raw_nonzero().get().cast_unsigned())
    }

    fn set(&self, pid: Option<Pid>) {
        *self.pid.lock() = pid;
    }

    /// Kills it at once, without waiting.
    pub(super) fn kill(&self) {
        if let Some(pid) = self.pid.lock().take() {
            // It fails only if the process has ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Runs until `stop`.
pub(super) async fn run(
    setup: Setup,
    mut process: Process,
    current: Arc<Current>,
    mut stop: oneshot::Receiver<()>,
) {
    let mut backoff = BACKOFF_MIN;
    loop {
        let started = Instant::now();
        tokio::select! {
            how = process.ended() => {
                current.set(None);
                if started.elapsed() > WELL_AFTER {
                    backoff = BACKOFF_MIN;
                }
                tracing::error!(pid = %process.pid(), %how, restart_in = ?backoff, "nats-server died");
            }
            _ = &mut stop => {
                process.stop().await;
                current.set(None);
                stale::forget(&setup);
                return;
            }
        }
        let restarted = tokio::select! {
            restarted = restart(&setup, &mut backoff) => restarted,
            _ = &mut stop => {
                stale::forget(&setup);
                return;
            }
        };
        process = restarted;
        current.set(Some(process.pid()));
        tracing::info!(pid = %process.pid(), port = process.port, "nats-server restarted");
    }
}

async fn restart(setup: &Setup, backoff: &mut Duration) -> Process {
    loop {
        sleep(*backoff).await;
        *backoff = (*backoff * 2).min(BACKOFF_MAX);
        match Process::start(setup).await {
            Ok(process) => {
                stale::remember(setup, process.pid());
                return process;
            }
            Err(error) => tracing::error!(%error, again_in = ?*backoff, "nats-server did not start"),
        }
    }
}
