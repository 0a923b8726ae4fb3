//! One gateway of a simulation: the real one, whose connections come from within the process.

use std::{sync::Arc, time::Duration};

use actors::{Planner, Waterfalls};
use adapters::Registry;
use broker::{Broker, Seams};
use gateway::{Catalogue, Filer, ModelInfo, Parts, Signers, Standing};
use schemas::{Action, Tenant};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    Broken,
    link::Wire,
    provider::{CHAT, EMBED, NAMES},
    settings::{self, DRAIN_MS},
    world::{Connections, World},
};
use crate::history::Fact;

/// How many connections may wait to be accepted.
const BACKLOG_MAX: usize = 64;
/// How much longer it may take to close its connections.
const CLOSE_MS: u64 = 5_000;

/// A gateway that runs.
pub(super) struct Gateway {
    /// The tenant whose door it is.
    pub(super) tenant: Tenant,
    /// Where connections come in.
    pub(super) connections: Connections,
    /// Cancelled when the gateway is dead, which cuts its connections.
    pub(super) dead: CancellationToken,
    stop: oneshot::Sender<()>,
    server: JoinSet<()>,
}

impl Gateway {
    /// Starts gateway `number`, connected by `wire`.
    pub(super) async fn start(
        world: &World,
        number: usize,
        wire: &Arc<Wire>,
        seams: Seams,
    ) -> Result<Self, Broken> {
        let setup = &world.scenario.setup;
        let tenant = setup.gateways[number].clone();
        let model = |id: &str, action, by: &str| ModelInfo {
            id: id.into(),
            action,
            owned_by: by.into(),
            pool: by.into(),
        };
        let parts = Parts {
            broker: Arc::clone(wire) as Arc<dyn Broker>,
            topology: world.topology.clone(),
            assets: broker::AssetLimits::default(),
            seams,
            catalogue: Catalogue::new(vec![
                model(CHAT, Action::ChatCompletion, NAMES[0]),
                model(EMBED, Action::EmbeddingQuery, NAMES[0]),
            ]),
            access: gateway::Access::default(),
            signers: Signers::default(),
            estimate: Arc::new(|_, _| Err(schemas::Error::invalid("model", "nothing has a price here"))),
            check_cost: Arc::new(|_, _| Box::pin(async { Ok(()) })),
            file: filer(world, number, wire)?,
            metrics: Arc::new(|| Box::pin(std::future::ready(String::new()))),
            standing: Arc::new(Standing::default),
            version: "simulated".into(),
        };
        let (connections, incoming) = mpsc::channel(BACKLOG_MAX);
        let gateway = gateway::Gateway::within(settings::gateway(&tenant)?, parts, incoming).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let mut server = JoinSet::new();
        let recorder = world.recorder.clone();
        server.spawn(async move {
            let stopped = async { _ = stopped.await };
            if let Err(error) = gateway.serve(stopped).await {
                let role = format!("gateway-{number}");
                recorder.write("harness", Fact::Process { role, pid: 0, ended: Some(error.to_string()) });
            }
        });
        Ok(Self { tenant, connections, dead: CancellationToken::new(), stop, server })
    }

    /// Ends the gateway at once.
    pub(super) fn kill(self) {
        self.dead.cancel();
    }

    /// Lets requests under way end, closes the connections, and ends.
    pub(super) async fn drain(mut self) {
        // This fails only if the server has ended by itself.
        let _ = self.stop.send(());
        let limit = Duration::from_millis(DRAIN_MS + CLOSE_MS);
        let _ = timeout(limit, self.server.join_next()).await;
        self.dead.cancel();
    }
}

/// Turns requests into work, as the program does.
fn filer(world: &World, number: usize, wire: &Arc<Wire>) -> Result<Filer, Broken> {
    let mut registry = Registry::default();
    for (adapter, models) in world.providers.adapters(&format!("gateway-{number}")) {
        registry = registry.with(adapter, models);
    }
    let (engine, rules) = (settings::engine(&world.scenario.setup)?, settings::rules()?);
    let settings = (&engine, &*rules, &settings::callbacks()?);
    let planner =
        Planner::new(settings, Arc::new(registry), Waterfalls::default()).map_err(actors::Error::from)?;
    let (subjects, wire) = (world.topology.subjects.clone(), Arc::clone(wire));
    Ok(Arc::new(move |request, format, fingerprint, ahead| {
        planner.work(&subjects, (request, format), fingerprint, ahead, wire.now())
    }))
}
