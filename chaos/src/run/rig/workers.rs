//! Finds the worker processes of a gateway in the process table: the harness asks nobody who they are.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{history::Fact, scribe::Scribe};

/// The unit of times in `/proc`: the same on every current Linux.
const TICKS_PER_SECOND: u64 = 100;

/// What the harness knows of the workers.
#[derive(Debug)]
pub(crate) struct Workers {
    scribe: Scribe,
    /// The log of their parent.
    log: PathBuf,
    /// The live workers, by process id.
    live: Vec<Worker>,
}

/// One worker process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Worker {
    /// Its slot, from its command line.
    pub(crate) slot: String,
    pub(crate) pid: Pid,
}

impl Workers {
    /// The workers of the parent that writes `log`.
    pub(crate) const fn new(scribe: Scribe, log: PathBuf) -> Self {
        Self { scribe, log, live: Vec::new() }
    }

    /// Checks the children of `parents` again, and records who started and who ended.
    pub(crate) fn look(&mut self, parents: &[Pid]) -> &[Worker] {
        let mut found = children(parents);
        // A worker that has lost its parent ends by itself; until then it is still ours.
        found.extend(self.live.iter().filter(|worker| is_worker(worker.pid)).cloned());
        found.sort_by_key(|worker| worker.pid.as_raw_nonzero());
        found.dedup();
        for gone in self.live.iter().filter(|worker| !found.contains(worker)) {
            self.tell(gone, Some(how_ended(&self.log, gone.pid)));
        }
        for new in found.iter().filter(|worker| !self.live.contains(worker)) {
            self.tell(new, None);
        }
        self.live = found;
        &self.live
    }

    /// The workers that were alive at the last look.
    pub(crate) fn live(&self) -> &[Worker] {
        &self.live
    }

    fn tell(&self, worker: &Worker, ended: Option<String>) {
        let role = format!("worker-{}", worker.slot);
        let pid = worker.pid.as_raw_nonzero().get().cast_unsigned();
        self.scribe.write("harness", Fact::Process { role, pid, ended });
    }
}

impl Drop for Workers {
    /// Kills the workers: one that was stopped does not notice the death of its parent.
    fn drop(&mut self) {
        for worker in self.live.iter().filter(|worker| is_worker(worker.pid)) {
            // Fails only if it has ended.
            let _ = kill_process(worker.pid, Signal::KILL);
        }
    }
}

/// How a process ended, from the log of its parent; `gone` if the parent had no time to log it, or died first.
fn how_ended(log: &Path, pid: Pid) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().rev().find_map(|line| how_of(line, pid)).unwrap_or("gone").to_owned()
}

/// How a log line says that this process ended: `… worker=1 pid=7 how="exit status: 0"`.
fn how_of(line: &str, pid: Pid) -> Option<&str> {
    let of_it = format!(" pid={} ", pid.as_raw_nonzero());
    line.contains(&of_it).then(|| line.split_once(" how=\"")?.1.strip_suffix('"'))?
}

fn children(parents: &[Pid]) -> Vec<Worker> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pids = pids.filter_map(Pid::from_raw);
    let of_ours = |pid: &Pid| parent(*pid).is_some_and(|parent| parents.contains(&parent));
    pids.filter(of_ours).filter_map(|pid| Some(Worker { slot: slot(pid)?, pid })).collect()
}

fn is_worker(pid: Pid) -> bool {
    parent(pid).is_some() && slot(pid).is_some()
}

/// The parent of a live process.
fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(file(pid, "stat")).ok()?;
    // `pid (name) state parent …`; the name may hold anything, even a bracket.
    let mut fields = stat.rsplit(") ").next()?.split(' ');
    let lives = !matches!(fields.next()?, "Z" | "X");
    let parent = Pid::from_raw(fields.next()?.parse().ok()?)?;
    lives.then_some(parent)
}

/// The slot in its command line: `dynode worker --slot 1 …`.
fn slot(pid: Pid) -> Option<String> {
    let command_line = fs::read_to_string(file(pid, "cmdline")).ok()?;
    let mut words = command_line.split('\0').skip(1);
    let is_worker = words.next()? == "worker" && words.next()? == "--slot";
    words.next().filter(|_| is_worker).map(str::to_owned)
}

/// The CPU time of a process so far, over all its threads.
pub(crate) fn computed(pid: Pid) -> Option<Duration> {
    let stat = fs::read_to_string(file(pid, "stat")).ok()?;
    // After the name: state and ten more fields, then user time and system time, in ticks.
    let mut fields = stat.rsplit(") ").next()?.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1_000 / TICKS_PER_SECOND))
}

/// The memory of a process, in bytes.
pub(crate) fn resident_bytes(pid: Pid) -> Option<f64> {
    let status = fs::read_to_string(file(pid, "status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u32 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(f64::from(kib) * 1024.0)
}

fn file(pid: Pid, name: &str) -> PathBuf {
    format!("/proc/{}/{name}", pid.as_raw_nonzero()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_process_is_what_its_parent_has_logged() {
        let pid = Pid::from_raw(71).unwrap();
        let drained =
            r#"12:00 INFO fleet: a worker process has drained worker=1 pid=71 how="exit status: 0""#;
        assert_eq!(how_of(drained, pid), Some("exit status: 0"));
        let died = r#"12:00 ERROR fleet: a worker process died worker=1 pid=71 reason="killed" how="signal: 9 (SIGKILL)""#;
        assert_eq!(how_of(died, pid), Some("signal: 9 (SIGKILL)"));
        let ready = "12:00 INFO fleet: a worker process is ready worker=1 pid=71 after=45ms";
        assert_eq!(how_of(ready, pid), None);
        assert_eq!(how_of(drained, Pid::from_raw(7).unwrap()), None, "another's");
    }
}
