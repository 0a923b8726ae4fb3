//! One worker of a pool: runs one job at a time, dies alone.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::Instant;

use crate::{
    pool,
    progress::Progress,
    stage::{Held, Runner},
    vitals::PoolVitals,
};

/// The actor. A panic in a stage ends the worker, not the pool.
#[derive(Debug)]
pub struct Worker;

/// The state of a worker.
#[derive(Debug)]
pub struct State {
    /// The loop around its stage.
    pub runner: Arc<Runner>,
    /// Told when the worker is free again.
    pub pool: ActorRef<pool::Message>,
    /// Where the work reports progress.
    pub progress: Arc<Progress>,
    /// Told how long each job took.
    pub vitals: Arc<PoolVitals>,
}

impl Actor for Worker {
    type Msg = Held;
    type State = State;
    type Arguments = State;

    async fn pre_start(&self, _: ActorRef<Held>, state: State) -> Result<State, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Held>,
        job: Held,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let began = Instant::now();
        state.runner.run(job, &state.progress).await;
        state.vitals.job_done(began.elapsed());
        state.pool.cast(pool::Message::Idle(myself))?;
        Ok(())
    }
}
