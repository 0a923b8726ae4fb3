//! One engine of a simulation: the real one, with seams for everything that reaches out of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actors::{Parts, ProviderLimits, System, Waterfalls};
use adapters::{Adaptive, Registry};
use broker::{Broker, Seams};

use super::{Broken, link::Wire, provider::NAMES, settings, target::Messenger, world::World};

/// An engine that runs.
pub(super) struct Engine {
    /// Its name, which no other engine has, not even the one that takes its place.
    pub(super) name: String,
    system: System,
}

impl Engine {
    /// Starts an engine under `name`, connected by `wire`.
    pub(super) async fn start(
        world: &World,
        name: String,
        wire: &Arc<Wire>,
        seams: Seams,
    ) -> Result<Self, Broken> {
        let setup = &world.scenario.setup;
        let limits = ProviderLimits {
            concurrency: setup.concurrency,
            requests_per_minute: setup.requests_per_minute,
            adaptive: Adaptive::Aimd,
            key_rest: Duration::from_millis(settings::KEY_REST_MS),
            ..ProviderLimits::default()
        };
        let mut registry = Registry::default();
        for (adapter, models) in world.providers.adapters(&name) {
            registry = registry.with(adapter, models);
        }
        let parts = Parts {
            broker: Arc::clone(wire) as Arc<dyn Broker>,
            topology: world.topology.clone(),
            registry: Arc::new(registry),
            providers: BTreeMap::from(NAMES.map(|name| (name.to_owned(), limits))),
            assets: broker::AssetLimits::default(),
            waterfalls: Waterfalls::default(),
            public_url: None,
            budgets: Vec::new(),
            parents: BTreeMap::new(),
            seams,
            node: name.clone(),
        };
        let courier = Messenger {
            targets: Arc::clone(&world.targets),
            patience: Duration::from_millis(settings::CALLBACK_MS),
        };
        let system = System::start_with(
            settings::engine(setup)?,
            &settings::rules()?,
            settings::callbacks()?,
            parts,
            Arc::new(courier),
        )
        .await?;
        Ok(Self { name, system })
    }

    /// Takes no new work, and hands back what does not end in time.
    pub(super) async fn drain(self) {
        self.system.drain(Duration::from_millis(settings::DRAIN_MS)).await;
    }
}
