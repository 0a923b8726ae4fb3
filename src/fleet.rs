//! Runs the engine as several processes beside the gateway, each in a slot that is kept filled. Manages their lives but
//! not their work, which the broker gives to any live process.
//!
//! | file | what it holds |
//! |---|---|
//! | [`health`] | pure: is a process well? |
//! | [`slot`] | pure: what follows a death? |
//! | [`process`] | one process: start, end |
//! | [`report`] | how one process reports its metrics when asked |
//! | [`roster`] | who fills which slot now, for probes and metrics |
//! | [`keeper`] | the task that joins them, one per slot |
//! | [`meters`] | what is counted |

use std::{path::PathBuf, sync::Arc, time::Duration};

use broker::{Broker, Seams};
use futures_util::future::join_all;
use schemas::{Secret, Subjects};
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub(crate) mod health;
mod keeper;
mod meters;
mod process;
pub(crate) mod report;
pub(crate) mod roster;
mod slot;

use health::Limits;
use keeper::Keeper;
use meters::Meters;
use roster::Roster;

/// The parts of a fleet.
#[derive(Debug)]
pub(crate) struct Parts {
    /// How many processes.
    pub(crate) workers: u32,
    /// The program to start, usually this one.
    pub(crate) program: PathBuf,
    /// The name of this node, from which the name of each process is made.
    pub(crate) node: String,
    /// The settings to hand down, as one line.
    pub(crate) settings: Secret,
    /// Where heartbeats are received.
    pub(crate) broker: Arc<dyn Broker>,
    /// Names the subjects of heartbeats.
    pub(crate) subjects: Subjects,
    /// When to end a process.
    pub(crate) limits: Limits,
    /// How long a process may take to drain.
    pub(crate) drain_max: Duration,
    /// Randomness, for jitter.
    pub(crate) seams: Seams,
}

/// Replace one process at a time; the others keep working.
const TURNS: usize = 1;

/// Running worker processes. Dropping it kills them.
#[derive(Debug)]
pub(crate) struct Fleet {
    roster: Arc<Roster>,
    stop: CancellationToken,
    settings: watch::Sender<Secret>,
    // If a keeper dies, which is a bug, its slot stays empty; the others go on.
    keepers: Vec<AbortOnDropHandle<()>>,
}

/// What the keepers share.
#[derive(Debug)]
struct Shared {
    parts: Parts,
    meters: Meters,
    roster: Arc<Roster>,
    stop: CancellationToken,
    /// Held while a process is being replaced.
    turn: Arc<Semaphore>,
}

impl Fleet {
    /// Starts every process, and returns before they are ready: their work waits in its queue.
    pub(crate) fn start(parts: Parts) -> Self {
        let stop = CancellationToken::new();
        let workers = parts.workers;
        let roster = Arc::new(Roster::new(workers));
        let (meters, seen) = (Meters::default(), Arc::clone(&roster));
        let settings = watch::Sender::new(parts.settings.clone());
        let turn = Arc::new(Semaphore::new(TURNS));
        let shared = Arc::new(Shared { parts, meters, roster: seen, stop: stop.clone(), turn });
        let keep = |slot| tokio::spawn(Keeper::new(Arc::clone(&shared), slot, settings.subscribe()).run());
        let keepers = (1..=workers).map(keep).map(AbortOnDropHandle::new).collect();
        Self { roster, stop, settings, keepers }
    }

    /// Replaces the processes, one after the other, with ones that have these settings. Returns at once.
    pub(crate) fn renew(&self, settings: Secret) {
        self.settings.send_replace(settings);
    }

    /// The state of each slot, kept up to date.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster)
    }

    /// Asks every process to drain, kills those that take too long, and returns when all have ended.
    pub(crate) async fn drain(self) {
        self.stop.cancel();
        for ended in join_all(self.keepers).await {
            if let Err(fault) = ended {
                tracing::error!(%fault, "the keeper of a worker process died");
            }
        }
    }
}
