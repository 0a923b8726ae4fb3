//! Runs the workers of one stage.
//!
//! A mailbox is unbounded, so the bound comes before it: the dispatcher takes a slot before it asks for a message; the
//! slot travels with the message and is free again when the message is settled.

use std::{sync::Arc, time::Duration};

use broker::Broker;
use ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr, SupervisionEvent};
use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    dispatch::Dispatch,
    intensity::Intensity,
    metrics::Metrics,
    stage::{Held, Runner},
    vitals::PoolVitals,
    worker::{self, Worker},
};

/// More workers than this dying within [`DEATHS_WINDOW`] mean that the pool itself is sick.
const DEATHS_MAX: usize = 100;
const DEATHS_WINDOW: Duration = Duration::from_secs(10);

/// The actor.
#[derive(Debug)]
pub struct Pool;

/// A message to a pool.
#[derive(Debug)]
pub enum Message {
    /// Messages have come, each with its slot.
    Leased(Vec<Held>),
    /// A worker is free.
    Idle(ActorRef<Held>),
}

/// The parts of a pool. Cheap to clone; a restarted pool gets the same parts.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// The loop around its stage.
    pub runner: Arc<Runner>,
    /// Where messages come from.
    pub broker: Arc<dyn Broker>,
    /// One permit per message at work; as many as there may be workers.
    pub slots: Arc<Semaphore>,
    /// Cancelled when the pool must take no new work.
    pub stop: CancellationToken,
    /// Counts worker deaths.
    pub metrics: Arc<Metrics>,
    /// Shows outside watchers what the workers are doing.
    pub vitals: Arc<PoolVitals>,
}

/// The state of a pool.
#[derive(Debug)]
pub struct State {
    arguments: Arguments,
    idle: Vec<ActorRef<Held>>,
    deaths: Intensity,
    dispatch: JoinHandle<()>,
}

impl Drop for State {
    fn drop(&mut self) {
        self.dispatch.abort();
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
        // Dies with the pool. If it ended alone the pool would idle, so it returns only on `stop`.
        let dispatch = tokio::spawn(Dispatch::new(arguments.clone(), myself).run());
        let deaths = Intensity::new(DEATHS_MAX, DEATHS_WINDOW);
        Ok(State { arguments, idle: Vec::new(), deaths, dispatch })
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
    /// Hands `job` to a free worker, or to a new one: the job has a slot, so there may be one more worker.
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
