//! Restarts children that die, one for one, after a backoff; too many deaths end the engine.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::time::Instant;
use tracing::error;

use crate::{backoff::Backoff, intensity::Intensity, metrics::Metrics};

/// After more deaths than this within [`DEATHS_WINDOW`], over all children, the engine ends; its process is replaced.
const DEATHS_MAX: usize = 10;
const DEATHS_WINDOW: Duration = Duration::from_secs(60);
const RESTART_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// Starts a child under the given supervisor.
pub type Start = Arc<dyn Fn(ActorCell) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync>;

/// A child of the supervisor.
#[derive(Clone)]
pub struct Child {
    /// Its name, in logs and metrics.
    pub name: String,
    /// Starts or restarts it.
    pub start: Start,
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The actor at the root of the tree.
#[derive(Debug)]
pub struct Supervisor;

/// A message of the supervisor to itself.
#[derive(Debug)]
pub enum Message {
    /// The backoff is over: start this child again.
    Restart(Child),
}

/// The supervisor's state.
#[derive(Debug)]
pub struct State {
    running: BTreeMap<ActorId, Child>,
    deaths: Intensity,
    metrics: Arc<Metrics>,
}

impl Actor for Supervisor {
    type Msg = Message;
    type State = State;
    type Arguments = (Vec<Child>, Arc<Metrics>);

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        (children, metrics): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let deaths = Intensity::new(DEATHS_MAX, DEATHS_WINDOW);
        let mut state = State { running: BTreeMap::new(), deaths, metrics };
        for child in children {
            state.start(&myself, child).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Restart(child): Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if let Err(why) = state.start(&myself, child.clone()).await {
            error!(child = child.name, %why, "a child did not start");
            state.restart_later(&myself, child)?;
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, why) = match event {
            SupervisionEvent::ActorFailed(cell, why) => (cell, why.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, why) => (cell, why.unwrap_or_default()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let Some(child) = state.running.remove(&cell.get_id()) else { return Ok(()) };
        error!(child = child.name, why, "a child died");
        state.metrics.child_died(&child.name);
        state.restart_later(&myself, child)
    }
}

impl State {
    async fn start(&mut self, myself: &ActorRef<Message>, child: Child) -> Result<(), SpawnErr> {
        let cell = (child.start)(myself.get_cell()).await?;
        self.running.insert(cell.get_id(), child);
        Ok(())
    }

    fn restart_later(&mut self, myself: &ActorRef<Message>, child: Child) -> Result<(), ActorProcessingErr> {
        let Some(deaths) = self.deaths.record(Instant::now()) else {
            return Err(
                format!("`{}` died, the last of too many within {DEATHS_WINDOW:?}", child.name).into()
            );
        };
        myself.send_after(RESTART_BACKOFF.delay(deaths, 1.0), || Message::Restart(child));
        Ok(())
    }
}
