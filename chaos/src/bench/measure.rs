//! Measures what processes use: CPU and memory by role, from /proc, and what else is busy on the machine.

use std::{collections::BTreeMap, fs, time::Duration};

use rustix::process::{Pid, getpid};
use tokio::time::sleep_until;

use super::load::tally::Window;
use crate::run::rig::workers::{computed, resident_bytes};

/// The unit of times in `/proc/stat`: the same on every current Linux.
const TICKS_PER_SECOND: f64 = 100.0;
/// The name of the broker's process.
const BROKER: &str = "nats-server";

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// The engine: all its processes but the broker; for the floor, the bare pipeline in its place.
    Engine,
    /// The broker.
    Broker,
    /// The simulated provider.
    Provider,
    /// This process, which makes the load.
    Load,
}

/// What was used within a window.
#[derive(Debug, Clone, Default)]
pub(super) struct Cost {
    /// The CPU of each role.
    pub(super) cpu: BTreeMap<Role, Duration>,
    /// The memory of each role at the end, in bytes.
    pub(super) resident: BTreeMap<Role, f64>,
    /// Cores that other processes kept busy.
    pub(super) elsewhere: f64,
}

/// The roots of the process trees to measure.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter(pub(super) Vec<(Role, Pid)>);

impl Meter {
    /// What is used within the window; returns at its end. `None` without /proc.
    pub(super) async fn over(&self, window: Window) -> Option<Cost> {
        sleep_until(window.from).await;
        let pids = self.pids();
        let (before, busy) = (self.spent(&pids), busy());
        sleep_until(window.until).await;
        let after = self.spent(&pids);
        let busy = self::busy()? - busy?;
        let cpu: BTreeMap<_, _> = after
            .into_iter()
            .map(|(role, spent)| (role, spent.saturating_sub(before.get(&role).copied().unwrap_or_default())))
            .collect();
        let ours: Duration = cpu.values().sum();
        let elsewhere = ((busy - ours.as_secs_f64()) / window.seconds()).max(0.0);
        Some(Cost { cpu, resident: self.resident(), elsewhere })
    }

    /// The memory of each role now, in bytes.
    pub(super) fn resident(&self) -> BTreeMap<Role, f64> {
        let mut sums = BTreeMap::new();
        for (role, pid) in self.pids() {
            *sums.entry(role).or_default() += resident_bytes(pid).unwrap_or_default();
        }
        sums
    }

    fn spent(&self, pids: &[(Role, Pid)]) -> BTreeMap<Role, Duration> {
        let mut sums = BTreeMap::new();
        for (role, pid) in pids {
            *sums.entry(*role).or_default() += computed(*pid).unwrap_or_default();
        }
        sums
    }

    /// All processes of the trees, each once. A nats-server that an engine started counts as the broker.
    fn pids(&self) -> Vec<(Role, Pid)> {
        let table = table();
        let mut found = Vec::<(Role, Pid)>::new();
        for (role, root) in &self.0 {
            let mut open = vec![*root];
            while let Some(pid) = open.pop() {
                if found.iter().any(|(_, have)| *have == pid) {
                    continue;
                }
                // A process that has ended uses nothing, and is not measured.
                let Some((_, name)) = table.get(&pid.as_raw_nonzero().get()) else { continue };
                found.push((if name == BROKER { Role::Broker } else { *role }, pid));
                // This process started the others: skip its children.
                if *role != Role::Load {
                    let children =
                        table.iter().filter(|(_, (parent, _))| *parent == pid.as_raw_nonzero().get());
                    open.extend(children.filter_map(|(child, _)| Pid::from_raw(*child)));
                }
            }
        }
        found
    }
}

/// This process.
pub(super) fn this() -> Pid {
    getpid()
}

/// All processes, with their parents and names.
fn table() -> BTreeMap<i32, (i32, String)> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
        .collect()
}

/// `pid (name) state parent …`; the name may hold anything, even a bracket.
fn parse(stat: &str) -> Option<(i32, String)> {
    let (head, fields) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    Some((fields.split(' ').nth(1)?.parse().ok()?, name.to_owned()))
}

/// The total busy time of the machine's cores, in seconds.
fn busy() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    busy_of(stat.lines().next()?)
}

/// `cpu  user nice system idle iowait irq softirq steal …`: all but idle and iowait.
fn busy_of(line: &str) -> Option<f64> {
    let ticks: Vec<f64> =
        line.split_whitespace().skip(1).take(8).filter_map(|tick| tick.parse().ok()).collect();
    let [user, nice, system, _, _, irq, softirq, steal] = ticks.as_slice() else { return None };
    Some((user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_parent_whatever_it_is_called() {
        assert_eq!(parse("7 (a (b) c) S 3 7 7"), Some((3, "a (b) c".to_owned())));
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn waiting_is_not_busy() {
        assert_eq!(busy_of("cpu  100 0 50 900 30 10 20 20 0 0"), Some(2.0));
        assert_eq!(busy_of("cpu 1"), None);
    }

    #[tokio::test]
    async fn this_process_costs_something() {
        let meter = Meter(vec![(Role::Load, this())]);
        let now = tokio::time::Instant::now();
        let window = Window { from: now, until: now + Duration::from_millis(20) };
        let cost = meter.over(window).await.unwrap();
        assert!(cost.resident[&Role::Load] > 1e5, "{cost:?}");
        assert!(cost.cpu.contains_key(&Role::Load));
    }
}
