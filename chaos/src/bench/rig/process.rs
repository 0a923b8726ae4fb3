//! One process: started, watched, asked to end. If it ends by itself the run is spoilt; nothing restarts it.

use std::{fs, io, path::PathBuf, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::Child,
    time::{Instant, timeout},
};

use crate::run::rig::service::{Launch, last_words};

/// How long a requested end may take before it is forced.
const END_MAX: Duration = Duration::from_secs(15);

/// The process; dropping this kills it.
#[derive(Debug)]
pub(crate) struct Process {
    role: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts it, with a new log.
    pub(super) fn start(launch: &Launch) -> io::Result<Self> {
        fs::write(&launch.log, "")?;
        let child = launch.command()?.spawn()?;
        Ok(Self { role: launch.role.clone(), log: launch.log.clone(), child })
    }

    /// Its process id, while it runs.
    pub(crate) fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
    }

    /// Whether its log has a line with exactly this word.
    pub(super) fn has_said(&self, word: &str) -> bool {
        fs::read_to_string(&self.log).unwrap_or_default().lines().any(|line| line == word)
    }

    /// Fails if it has ended, or if `deadline` has passed.
    pub(crate) fn must_live(&mut self, deadline: Instant) -> io::Result<()> {
        let ended = self.child.try_wait()?;
        let what = match ended {
            Some(status) => format!("ended ({status})"),
            None if Instant::now() < deadline => return Ok(()),
            None => "did not come up in time".to_owned(),
        };
        let (role, log, words) = (&self.role, self.log.display(), last_words(&self.log));
        Err(io::Error::other(format!("the {role} {what}; the end of {log}:\n{words}")))
    }

    /// Asks it to end, and waits.
    pub(crate) async fn stop(&mut self) {
        if let Some(pid) = self.pid() {
            // Fails only if it has ended. Its id cannot be reused yet: nobody has waited for it.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(END_MAX, self.child.wait()).await.is_err() {
            // Likewise.
            let _ = self.child.kill().await;
        }
    }
}
