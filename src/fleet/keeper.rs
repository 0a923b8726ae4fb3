//! Keeps one slot filled: starts a process, listens to it, ends it if it is ill, and replaces it when it dies.
//! [`Health`] and [`Slot`] make the decisions.

use std::{io, process::ExitStatus, sync::Arc, time::Duration};

use broker::{Broker, Link, Subscription};
use futures_util::StreamExt;
use schemas::{Heartbeat, Secret};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tracing::{debug, error, info};

use super::{
    Parts, Shared,
    health::{Health, Illness},
    process::Process,
    slot::{Next, Slot},
};
use crate::exit;

/// How often a keeper checks its process: a small part of the shortest silence that can be configured.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long an ill process may take to hand back its work before it is killed. Its callers have waited long enough.
const TERMINATE_MAX: Duration = Duration::from_secs(2);

/// Keeps one slot filled.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    slot: u32,
    node: String,
    settings: watch::Receiver<Secret>,
    /// Held from when a process starts to make room until its successor is ready, or dead.
    turn: Option<OwnedSemaphorePermit>,
}

/// How the life of a process ended.
enum Ended {
    /// The fleet stops.
    Stopped,
    /// It makes room for a process with other settings.
    Renewed,
    /// It ended unasked.
    Died(Death),
}

/// An end that nobody asked for.
struct Death {
    pid: Option<u32>,
    reason: &'static str,
    how: String,
}

/// The heartbeats of the process, while there is a connection.
#[derive(Default)]
struct Ears(Option<Subscription>);

impl Keeper {
    /// The keeper of the slot with this number, from 1.
    pub(super) fn new(shared: Arc<Shared>, slot: u32, settings: watch::Receiver<Secret>) -> Self {
        let node = format!("{}-{slot}", shared.parts.node);
        Self { shared, slot, node, settings, turn: None }
    }

    /// Runs until the fleet and its process have stopped.
    pub(super) async fn run(mut self) {
        let mut deaths = Slot::default();
        loop {
            let death = match self.life().await {
                Ended::Stopped => return,
                Ended::Renewed => continue,
                Ended::Died(death) => death,
            };
            self.turn = None;
            self.report(&death);
            let pause = match deaths.died(Instant::now(), self.shared.parts.seams.fraction()) {
                Next::Start(pause) => pause,
                Next::Rest(rest) => {
                    self.shared.meters.alarm();
                    self.shared.roster.rests(self.slot, rest, death.reason);
                    let (worker, reason) = (self.slot, death.reason);
                    error!(
                        worker,
                        reason,
                        ?rest,
                        "alarm: this worker process dies again and again; it rests"
                    );
                    rest
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.shared.stop.cancelled() => return,
            }
        }
    }

    /// Runs one process from its start to its end.
    async fn life(&mut self) -> Ended {
        let shared = Arc::clone(&self.shared);
        let Shared { parts: Parts { program, .. }, meters, roster, .. } = &*shared;
        let settings = self.settings.borrow_and_update().clone();
        let process = match Process::start(program, self.slot, &self.node, settings.expose()).await {
            Ok(process) => process,
            Err(error) => {
                let how = format!("{}: {error}", program.display());
                return Ended::Died(Death { pid: None, reason: "no_start", how });
            }
        };
        meters.started();
        roster.started(self.slot, process.reporter());
        let ended = self.watch(process).await;
        roster.ended(self.slot);
        meters.ended();
        ended
    }

    async fn watch(&mut self, mut process: Process) -> Ended {
        let shared = Arc::clone(&self.shared);
        let (pid, limits, born) = (process.pid(), &shared.parts.limits, Instant::now());
        debug!(worker = self.slot, pid, "a worker process is started");
        let (mut health, mut ears) = (Health::new(pid, limits, born), Ears::default());
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (illness, end) = tokio::select! {
                end = process.ended() => (None, end),
                beat = ears.beat() => {
                    self.shared.roster.told(self.slot, &beat);
                    if health.beat(&beat, limits, Instant::now()) {
                        shared.roster.ready(self.slot);
                        self.turn = None;
                        info!(worker = self.slot, pid, after = ?born.elapsed(), "a worker process is ready");
                    }
                    continue;
                }
                _ = looks.tick() => {
                    let hearing = ears.open(&*shared.parts.broker, &self.subject()).await;
                    let illness = health.look(hearing, limits, Instant::now());
                    if illness.is_none() {
                        continue;
                    }
                    (illness, process.end(TERMINATE_MAX).await)
                }
                turn = turn(&shared, &mut self.settings, &mut self.turn) => {
                    self.turn = turn;
                    self.log_drained(pid, process.end(shared.parts.drain_max).await);
                    return Ended::Renewed;
                }
                () = shared.stop.cancelled() => {
                    self.log_drained(pid, process.end(shared.parts.drain_max).await);
                    return Ended::Stopped;
                }
            };
            let reason = illness.map_or_else(|| own_reason(&end), Illness::as_str);
            return Ended::Died(Death { pid: Some(pid), reason, how: told(end) });
        }
    }

    fn subject(&self) -> String {
        self.shared.parts.subjects.heartbeat(&self.node, "*")
    }

    /// Logs a death as one line.
    fn report(&self, death: &Death) {
        self.shared.meters.died(death.reason);
        let Death { pid, reason, how } = death;
        error!(worker = self.slot, pid, reason, how, "a worker process died");
    }

    fn log_drained(&self, pid: u32, end: io::Result<ExitStatus>) {
        let how = told(end);
        info!(worker = self.slot, pid, how, "a worker process has drained");
    }
}

/// Resolves when there are new settings and it is this process's turn to be replaced. A process that already holds the
/// turn (`held`), as a successor that is not ready yet, goes first.
async fn turn(
    shared: &Shared,
    settings: &mut watch::Receiver<Secret>,
    held: &mut Option<OwnedSemaphorePermit>,
) -> Option<OwnedSemaphorePermit> {
    if settings.changed().await.is_err() {
        // The fleet is gone, and reports that elsewhere.
        return std::future::pending().await;
    }
    // Leaves the change visible to the next process, which gets it, and to this call if another branch wins.
    settings.mark_changed();
    match held.take() {
        Some(held) => Some(held),
        None => Arc::clone(&shared.turn).acquire_owned().await.ok(),
    }
}

impl Ears {
    /// The next heartbeat; never resolves without a connection.
    async fn beat(&mut self) -> Heartbeat {
        while let Some(subscription) = &mut self.0 {
            match subscription.next().await {
                Some(message) => match message.format().decode(&message.payload) {
                    Ok(beat) => return beat,
                    Err(error) => debug!(%error, "not a heartbeat"),
                },
                None => self.0 = None,
            }
        }
        std::future::pending().await
    }

    /// Subscribes if it can and has not yet; returns whether a heartbeat since the last call would have been received.
    async fn open(&mut self, broker: &dyn Broker, subject: &str) -> bool {
        if !matches!(*broker.link().borrow(), Link::Up) {
            return false;
        }
        if self.0.is_some() {
            return true;
        }
        match broker.subscribe(subject).await {
            Ok(subscription) => self.0 = Some(subscription),
            Err(error) => debug!(%error, subject, "cannot listen to a worker process"),
        }
        false
    }
}

/// Why a process ended that nobody asked to end.
fn own_reason(end: &io::Result<ExitStatus>) -> &'static str {
    match end.as_ref().ok().and_then(ExitStatus::code).map(u8::try_from) {
        Some(Ok(exit::BROKER_LOST)) => "broker_lost",
        Some(Ok(exit::NO_PROGRESS)) => "no_progress",
        Some(_) => "exited",
        None => "killed",
    }
}

/// How a process ended, in words: its exit code or its signal.
fn told(end: io::Result<ExitStatus>) -> String {
    end.map_or_else(|error| error.to_string(), |status| status.to_string())
}
