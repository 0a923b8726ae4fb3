//! The engine as several processes beside the gateway: each a slot that is kept filled. Knows their lives; knows nothing
//! of their work, which the broker hands to whoever lives.
//!
//! | file | what it holds |
//! |---|---|
//! | [`health`] | pure: is a process well? |
//! | [`slot`] | pure: what follows a death? |
//! | [`process`] | one process: start, end |
//! | [`report`] | what one process tells when it is asked |
//! | [`roster`] | who fills which slot now, for probes and metrics |
//! | [`keeper`] | the task that joins them, one a slot |
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

/// What a fleet is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    /// How many processes.
    pub(crate) workers: u32,
    /// The program that is started, usually this one.
    pub(crate) program: PathBuf,
    /// The name of this node, of which each process has its own made.
    pub(crate) node: String,
    /// The settings that are handed down, one line.
    pub(crate) settings: Secret,
    /// Where heartbeats are heard.
    pub(crate) broker: Arc<dyn Broker>,
    /// The name of their subject.
    pub(crate) subjects: Subjects,
    /// When a process is ended.
    pub(crate) limits: Limits,
    /// How long a process may take to drain.
    pub(crate) drain_max: Duration,
    /// Randomness, for jitter.
    pub(crate) seams: Seams,
}

/// One at a time is replaced, so that the others go on.
const TURNS: usize = 1;

/// Running worker processes. Dropping it kills them.
#[derive(Debug)]
pub(crate) struct Fleet {
    roster: Arc<Roster>,
    stop: CancellationToken,
    settings: watch::Sender<Secret>,
    // The death of one, a fault of this program, would leave its slot empty; the others go on.
    keepers: Vec<AbortOnDropHandle<()>>,
}

/// What the keepers share.
#[derive(Debug)]
struct Shared {
    parts: Parts,
    meters: Meters,
    roster: Arc<Roster>,
    stop: CancellationToken,
    /// Whose turn it is to be replaced.
    turn: Arc<Semaphore>,
}

impl Fleet {
    /// Starts every process, and returns before they are ready: work waits for them in its queue.
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

    /// Replaces every process, one after the other, by one with these settings. Returns at once.
    pub(crate) fn renew(&self, settings: Secret) {
        self.settings.send_replace(settings);
    }

    /// Who fills which slot, now and later.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.roster)
    }

    /// Asks every process to drain, kills those that take too long, and returns when none is left.
    pub(crate) async fn drain(self) {
        self.stop.cancel();
        for ended in join_all(self.keepers).await {
            if let Err(fault) = ended {
                tracing::error!(%fault, "the keeper of a worker process died");
            }
        }
    }
}
