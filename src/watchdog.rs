//! Ends a process that lives but makes no progress: its runtime no longer ticks, a task keeps a thread, a worker
//! outlives its own timeouts, or the broker is lost for too long. The watchdog is a thread outside the runtime, since
//! nothing inside could still act; the supervisor of the process restarts it.
//!
//! Counts checks instead of reading a clock, so that a process that was stopped and resumed is not to blame.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use broker::Link;
use serde::Deserialize;
use tokio::{runtime::Handle, sync::watch, task::JoinHandle, time};
use tracing::error;

mod threads;

use crate::{engine::Watched, exit};
use threads::{Sight, Threads};

/// How often the thread checks, and the runtime ticks.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// `[watchdog]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchdogConfig {
    /// How long the runtime may stand still, a task keep its thread, or a worker outlive its timeouts, in milliseconds.
    pub(crate) no_progress_kill_ms: u64,
    /// How long the broker may be lost, in milliseconds.
    pub(crate) disconnect_kill_ms: u64,
    /// How long a worker process may send no heartbeat, in milliseconds. Its parent enforces this.
    pub(crate) silence_kill_ms: u64,
}

/// The watchdog thread and the tick that it watches; both end when this is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    off: Arc<AtomicBool>,
    ticking: JoinHandle<()>,
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.off.store(true, Ordering::Relaxed);
        self.ticking.abort();
    }
}

/// What one look sees.
#[derive(Debug, Clone, Copy)]
struct Look {
    ticks: u64,
    /// For how many looks one task has kept a thread.
    kept: u64,
    stuck_workers: usize,
    connected: bool,
}

/// How many looks in a row saw each trouble.
#[derive(Debug, Default)]
struct Trouble {
    last_tick: u64,
    still: u64,
    stuck: u64,
    lost: u64,
}

/// Why the process must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doom {
    Standstill,
    Kept,
    Stuck,
    Lost,
}

impl Watchdog {
    /// Watches this process.
    ///
    /// An overdue worker is ended by its own loop, which checks as often as it renews its lease: a third of `lease`.
    /// Only a worker that outlives this as well is stuck.
    pub(crate) fn start(
        config: WatchdogConfig,
        lease: Duration,
        vitals: Watched,
        link: watch::Receiver<Link>,
    ) -> Self {
        let (ticks, off) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        // If this task dies, the watchdog reports a standstill, which is then true of the runtime.
        let ticking = tokio::spawn(tick(Arc::clone(&ticks)));
        let (seen_off, runtime) = (Arc::clone(&off), Handle::current().metrics());
        thread::spawn(move || {
            let (mut trouble, mut threads) = (Trouble::default(), Threads::default());
            while !seen_off.load(Ordering::Relaxed) {
                thread::park_timeout(CHECK_INTERVAL);
                let look = Look {
                    ticks: ticks.load(Ordering::Relaxed),
                    kept: threads.look(&Sight::all(&runtime)),
                    stuck_workers: vitals.stuck(lease / 3),
                    connected: matches!(*link.borrow(), Link::Up),
                };
                if let Some(doom) = trouble.judge(look, &config) {
                    end(doom, &seen_off);
                }
            }
        });
        Self { off, ticking }
    }
}

async fn tick(ticks: Arc<AtomicU64>) {
    let mut interval = time::interval(CHECK_INTERVAL);
    loop {
        interval.tick().await;
        ticks.fetch_add(1, Ordering::Relaxed);
    }
}

impl Trouble {
    fn judge(&mut self, look: Look, config: &WatchdogConfig) -> Option<Doom> {
        let count = |trouble: bool, before: u64| if trouble { before + 1 } else { 0 };
        self.still = count(look.ticks == self.last_tick, self.still);
        self.stuck = count(look.stuck_workers > 0, self.stuck);
        self.lost = count(!look.connected, self.lost);
        self.last_tick = look.ticks;
        let checks = |milliseconds: u64| milliseconds.div_ceil(CHECK_INTERVAL.as_millis() as u64).max(1);
        if self.still >= checks(config.no_progress_kill_ms) {
            return Some(Doom::Standstill);
        }
        if look.kept >= checks(config.no_progress_kill_ms) {
            return Some(Doom::Kept);
        }
        if self.stuck >= checks(config.no_progress_kill_ms) {
            return Some(Doom::Stuck);
        }
        (self.lost >= checks(config.disconnect_kill_ms)).then_some(Doom::Lost)
    }
}

fn end(doom: Doom, off: &AtomicBool) {
    if off.load(Ordering::Relaxed) {
        return;
    }
    let (why, code) = match doom {
        Doom::Standstill => ("the runtime stands still", exit::NO_PROGRESS),
        Doom::Kept => ("a task does not yield", exit::NO_PROGRESS),
        Doom::Stuck => ("a worker runs past its own timeouts", exit::NO_PROGRESS),
        Doom::Lost => ("the broker is lost for too long", exit::BROKER_LOST),
    };
    error!(code, "{why}: the process ends, to be replaced; its work is redelivered");
    std::process::exit(code.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: WatchdogConfig =
        WatchdogConfig { no_progress_kill_ms: 1_000, disconnect_kill_ms: 2_000, silence_kill_ms: 3_000 };
    const HEALTHY: Look = Look { ticks: 0, kept: 0, stuck_workers: 0, connected: true };

    /// The number of looks until the process is ended, at most a hundred.
    fn looks(see: impl Fn(u64) -> Look) -> Option<(u64, Doom)> {
        let mut trouble = Trouble::default();
        (1..=100).find_map(|number| Some((number, trouble.judge(see(number), &CONFIG)?)))
    }

    #[test]
    fn a_process_that_ticks_and_is_connected_lives() {
        assert_eq!(looks(|number| Look { ticks: number, ..HEALTHY }), None);
    }

    #[test]
    fn each_trouble_ends_the_process_after_its_time_and_not_before() {
        assert_eq!(looks(|_| HEALTHY), Some((4, Doom::Standstill)));
        assert_eq!(
            looks(|number| Look { ticks: number, connected: false, ..HEALTHY }),
            Some((8, Doom::Lost))
        );
        let stuck = |number| Look { ticks: number, stuck_workers: 1, ..HEALTHY };
        assert_eq!(looks(stuck), Some((4, Doom::Stuck)));
        assert_eq!(looks(|number| Look { ticks: number, kept: number, ..HEALTHY }), Some((4, Doom::Kept)));
    }

    #[test]
    fn trouble_that_passes_is_forgotten() {
        assert_eq!(looks(|number| Look { ticks: number / 3, ..HEALTHY }), None);
        assert_eq!(looks(|number| Look { ticks: number, connected: number % 7 == 0, ..HEALTHY }), None);
    }
}
