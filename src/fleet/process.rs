//! Starts one worker process with its settings on standard input; ends it politely, then by force. Never decides when.

use std::{io, path::Path, process::ExitStatus, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use super::report::Reporter;

/// How long a new process may take to read its settings. They fit into a pipe unless there are hundreds of models.
const HAND_DOWN_MAX: Duration = Duration::from_secs(10);

/// A running process. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: Pid,
    reporter: Reporter,
    // Holds a pipe open: when it closes, the process knows that its parent has died, for whatever reason.
    _talk: AbortOnDropHandle<()>,
}

impl Process {
    /// Starts `dynode worker` and hands it `settings`, one line.
    ///
    /// It gets its own process group, so that Ctrl-C reaches only the parent, which drains first.
    pub(crate) async fn start(program: &Path, slot: u32, node: &str, settings: &str) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(["worker", "--slot", &slot.to_string(), "--node", node]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pipes = (child.stdin.take(), child.stdout.take());
        let (Some(pid), (Some(mut line), Some(answers))) = (pid, pipes) else {
            return Err(io::Error::other("it ended at once"));
        };
        // A dead process does not read; its exit says more than this error would.
        let _ = timeout(HAND_DOWN_MAX, line.write_all(settings.as_bytes())).await;
        let (reporter, talk) = Reporter::new(line, answers);
        Ok(Self { child, pid, reporter, _talk: talk })
    }

    /// Asks the process for its metrics.
    pub(super) fn reporter(&self) -> Reporter {
        self.reporter.clone()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks it to end, and kills it if it has not ended within `grace`. A stopped process reacts only to the kill.
    pub(crate) async fn end(&mut self, grace: Duration) -> io::Result<ExitStatus> {
        // Fails only if the process has ended. Its id cannot be reused yet: nobody has waited for it.
        let _ = kill_process(self.pid, Signal::TERM);
        match timeout(grace, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                self.child.start_kill()?;
                self.child.wait().await
            }
        }
    }
}
