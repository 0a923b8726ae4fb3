//! A process that is run to its end: what goes in, what comes out, how it ended.

use std::{pin::pin, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
};

use super::PATIENCE;

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; none where a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote to standard output.
    pub(crate) out: String,
    /// What it wrote to standard error.
    pub(crate) err: String,
}

impl Ended {
    /// Its output, if all went well.
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }

    /// Its complaint, if it ended with `code`.
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self.err
    }
}

/// Runs `command` with `input` to its end; it and all that it started are killed if that takes too long.
pub(crate) async fn run(command: Command, input: &str) -> Ended {
    run_within(PATIENCE, command, input).await
}

/// The same for what takes longer than anything else here.
pub(crate) async fn run_within(patience: Duration, mut command: Command, input: &str) -> Ended {
    let what = format!("{:?}", command.as_std());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true).process_group(0);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
    let group = pid(&child);
    let mut stdin = child.stdin.take().unwrap();
    // One that does not read its input closes it.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let mut ended = pin!(child.wait_with_output());
    let Ok(output) = tokio::time::timeout(patience, &mut ended).await else {
        let _ = kill_process_group(group, Signal::KILL);
        panic!("{what}: not in {patience:?}");
    };
    let output = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Does what Ctrl-C does.
pub(crate) fn interrupt(child: &Child) {
    kill_process(pid(child), Signal::INT).unwrap();
}

/// Its process id.
pub(super) fn pid(child: &Child) -> Pid {
    child
        .id()
        .and_then(|id| Pid::from_raw(id.try_into().unwrap()))
        .unwrap_or_else(|| panic!("it has ended: {child:?}"))
}
