//! The workers of one stage, and the pull that never asks the broker for more than they can take.
//!
//! A mailbox is unbounded, so the bound stands before it: a slot is taken before a message is asked for, travels with
//! the message, and is free again when the message is settled.

use std::{sync::Arc, time::Duration};

use broker::{Broker, Consumer, Lease};
use ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr, SupervisionEvent};
use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    backoff::Backoff,
    intensity::Intensity,
    metrics::Metrics,
    stage::{Held, Runner},
    vitals::PoolVitals,
    worker::{self, Worker},
};

/// More workers than this dying within [`DEATHS_WINDOW`] mean that the pool itself is sick.
const DEATHS_MAX: usize = 100;
const DEATHS_WINDOW: Duration = Duration::from_secs(10);
/// How long to wait before asking a broker again that failed.
const PULL_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// The actor.
#[derive(Debug)]
pub struct Pool;

/// What a pool is told.
#[derive(Debug)]
pub enum Message {
    /// Messages have come, each with its slot.
    Leased(Vec<Held>),
    /// A worker is free.
    Idle(ActorRef<Held>),
}

/// What a pool is made of. Cheap to clone; a restarted pool is made of the same.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// The loop around its stage.
    pub runner: Arc<Runner>,
    /// Where messages come from.
    pub broker: Arc<dyn Broker>,
    /// One permit a message at work; as many as there may be workers.
    pub slots: Arc<Semaphore>,
    /// Cancelled when no new work is to be taken.
    pub stop: CancellationToken,
    /// Counts the dead.
    pub metrics: Arc<Metrics>,
    /// Where whoever watches from outside finds what the workers are at.
    pub vitals: Arc<PoolVitals>,
}

/// What a pool knows.
#[derive(Debug)]
pub struct State {
    arguments: Arguments,
    idle: Vec<ActorRef<Held>>,
    deaths: Intensity,
    puller: JoinHandle<()>,
}

impl Drop for State {
    fn drop(&mut self) {
        self.puller.abort();
    }
}

impl Actor for Pool {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        // Dies with the pool; if it ended alone the pool would idle, so it never returns but on `stop`.
        let puller = tokio::spawn(pull(arguments.clone(), myself));
        let deaths = Intensity::new(DEATHS_MAX, DEATHS_WINDOW);
        Ok(State { arguments, idle: Vec::new(), deaths, puller })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Idle(worker) => state.idle.push(worker),
            Message::Leased(jobs) => {
                for job in jobs {
                    state.dispatch(&myself, job).await?;
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (worker, why) = match event {
            SupervisionEvent::ActorFailed(worker, why) => (worker, why.to_string()),
            SupervisionEvent::ActorTerminated(worker, _, why) => (worker, why.unwrap_or_default()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let stage = state.arguments.runner.stage().name();
        error!(stage, why, "a worker died; its message is delivered again");
        state.arguments.metrics.worker_died(stage);
        state.idle.retain(|idle| idle.get_id() != worker.get_id());
        match state.deaths.record(Instant::now()) {
            Some(_) => Ok(()),
            None => Err(format!("more than {DEATHS_MAX} workers died within {DEATHS_WINDOW:?}").into()),
        }
    }
}

impl State {
    /// Hands `job` to a free worker, or to a new one: there is a slot, so there may be a worker.
    async fn dispatch(
        &mut self,
        myself: &ActorRef<Message>,
        mut job: Held,
    ) -> Result<(), ActorProcessingErr> {
        while let Some(worker) = self.idle.pop() {
            match worker.cast(job) {
                Ok(()) => return Ok(()),
                Err(MessagingErr::SendErr(returned)) => job = returned,
                Err(other) => return Err(other.into()),
            }
        }
        let Arguments { runner, vitals, .. } = &self.arguments;
        let state = worker::State {
            runner: Arc::clone(runner),
            pool: myself.clone(),
            progress: vitals.new_worker(),
            vitals: Arc::clone(vitals),
        };
        let (worker, _) = Actor::spawn_linked(None, Worker, state, myself.get_cell()).await?;
        worker.cast(job)?;
        Ok(())
    }
}

/// Asks the broker for as many messages as there are free slots, for ever; ends on `stop`.
async fn pull(arguments: Arguments, pool: ActorRef<Message>) {
    let mut failures = 0;
    while !arguments.stop.is_cancelled() {
        let opened = arguments.broker.consume(&arguments.runner.stage().consumer()).await;
        let pulled = match opened {
            Ok(mut consumer) => pull_from(&mut *consumer, &arguments, &pool, &mut failures).await,
            Err(error) => Err(error),
        };
        let Err(error) = pulled else { return };
        failures += 1;
        warn!(stage = arguments.runner.stage().name(), %error, failures, "broker gives no messages");
        tokio::select! {
            () = tokio::time::sleep(PULL_BACKOFF.delay(failures, 1.0)) => {}
            () = arguments.stop.cancelled() => {}
        }
    }
}

/// `Ok` on `stop`, the error otherwise.
async fn pull_from(
    consumer: &mut dyn Consumer,
    arguments: &Arguments,
    pool: &ActorRef<Message>,
    failures: &mut u32,
) -> Result<(), broker::Error> {
    loop {
        let leases = tokio::select! {
            () = arguments.stop.cancelled() => {
                consumer.close().await;
                return Ok(());
            }
            leases = pull_once(consumer, &arguments.slots) => leases?,
        };
        *failures = 0;
        if pool.cast(Message::Leased(leases)).is_err() {
            // The pool is gone; what was leased goes back as it is dropped.
            return Ok(());
        }
    }
}

async fn pull_once(consumer: &mut dyn Consumer, slots: &Arc<Semaphore>) -> Result<Vec<Held>, broker::Error> {
    let closed = |_| broker::Error::new(broker::ErrorKind::Closed, "the pool has stopped");
    let mut free = Arc::clone(slots).acquire_owned().await.map_err(closed)?;
    let more = u32::try_from(slots.available_permits()).unwrap_or(u32::MAX);
    if let Ok(rest) = Arc::clone(slots).try_acquire_many_owned(more) {
        free.merge(rest);
    }
    let leases = consumer.pull(free.num_permits()).await?;
    let hold = |lease: Lease| free.split(1).map(|slot| Held::new(lease, slot));
    Ok(leases.into_iter().filter_map(hold).collect())
}
