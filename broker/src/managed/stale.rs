//! Ends a server that a killed Dynode left behind, recognised by its id and its command line. Never ends a process that
//! is not surely ours.

use std::{fs, io::ErrorKind::NotFound, path::PathBuf, time::Duration};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::{Instant, sleep};

use super::process::Setup;
use crate::{Error, ErrorKind};

/// How long it may take to end by itself before it is killed.
const POLITE_SECONDS_MAX: u64 = 10;
/// How long a killed process may take to disappear.
const KILLED_SECONDS_MAX: u64 = 5;
/// How often to look for it: nobody reports the end of a process that is not our child.
const LOOK_EVERY_MS: u64 = 10;

/// Ends the server that an earlier Dynode left on the same directory. The caller holds the directory's lock.
pub(super) async fn end(setup: &Setup) -> Result<(), Error> {
    let Some(pid) = remembered(setup) else { return Ok(()) };
    if is_ours(setup, pid) {
        tracing::warn!(%pid, "ending a nats-server that an earlier dynode left behind");
        if !ended_by(setup, pid, Signal::TERM, POLITE_SECONDS_MAX).await
            && !ended_by(setup, pid, Signal::KILL, KILLED_SECONDS_MAX).await
        {
            let what =
                format!("nats-server {pid}, left behind by an earlier dynode, does not end: end it by hand");
            return Err(Error::new(ErrorKind::Timeout, what));
        }
    }
    forget(setup);
    Ok(())
}

/// Notes the running server, for the next Dynode if this one dies suddenly.
pub(super) fn remember(setup: &Setup, pid: Pid) {
    if let Err(error) = fs::write(pid_file(setup), pid.to_string()) {
        tracing::warn!(%error, "cannot note the process id of nats-server");
    }
}

/// Removes the note: no server runs.
pub(super) fn forget(setup: &Setup) {
    match fs::remove_file(pid_file(setup)) {
        Err(error) if error.kind() != NotFound => {
            tracing::warn!(%error, "cannot remove the note of nats-server's process id");
        }
        _ => {}
    }
}

fn pid_file(setup: &Setup) -> PathBuf {
    setup.dir.join("nats-server.pid")
}

fn remembered(setup: &Setup) -> Option<Pid> {
    Pid::from_raw(fs::read_to_string(pid_file(setup)).ok()?.trim().parse().ok()?)
}

async fn ended_by(setup: &Setup, pid: Pid, signal: Signal, seconds_max: u64) -> bool {
    // It fails only if the process is gone, which the loop sees.
    let _ = kill_process(pid, signal);
    let deadline = Instant::now() + Duration::from_secs(seconds_max);
    while is_ours(setup, pid) {
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
    }
    true
}

/// Whether `pid` runs and was started with our configuration file: ids are reused, our paths are not.
fn is_ours(setup: &Setup, pid: Pid) -> bool {
    let config = setup.config_file().display().to_string();
    test_kill_process(pid).is_ok() && command_line(pid).is_some_and(|line| line.contains(&config))
}

#[cfg(target_os = "linux")]
fn command_line(pid: Pid) -> Option<String> {
    // Empty for a zombie process.
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&words).into_owned())
}

#[cfg(not(target_os = "linux"))]
fn command_line(pid: Pid) -> Option<String> {
    let output =
        std::process::Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
