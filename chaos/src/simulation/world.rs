//! Everything that runs in one simulation: the broker, the engines and gateways on it, and what stands outside them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use broker::{Broker, Limits, Topology, memory::Memory};
use parking_lot::Mutex;
use schemas::{Subjects, Tenant};
use tokio::{io::DuplexStream, sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Broken,
    clock::{NodeClock, seams},
    engine::Engine,
    gateway::Gateway,
    link::Wire,
    plan::Node,
    provider::Providers,
    recorder::Recorder,
    scenario::Scenario,
    target::Targets,
};
use crate::{
    history::{Fact, Signal},
    workload::mix,
};

/// How many bytes a connection holds in transit: less than a long answer, so that slow readers are felt.
const PIPE_BYTES: usize = 4 << 10;

/// Everything of one run.
pub(super) struct World {
    pub(super) scenario: Arc<Scenario>,
    pub(super) recorder: Recorder,
    pub(super) memory: Memory,
    pub(super) topology: Topology,
    pub(super) providers: Arc<Providers>,
    pub(super) targets: Arc<Targets>,
    /// The connection of all services, which publish to subjects.
    pub(super) services: Arc<Wire>,
    pub(super) began: Instant,
    nodes: Mutex<BTreeMap<Node, Living>>,
    /// How often each node was started.
    births: Mutex<BTreeMap<Node, u64>>,
    /// Cancelled and replaced when all connections of clients are cut.
    clients: Mutex<CancellationToken>,
    /// Whether nobody reaches the broker.
    cut: AtomicBool,
}

/// A node that runs.
struct Living {
    birth: u64,
    wire: Arc<Wire>,
    clock: Arc<NodeClock>,
    body: Body,
}

enum Body {
    Engine(Box<Engine>),
    Gateway(Gateway),
}

/// One end of a connection to a gateway, and what cuts it.
pub(super) struct Pipe {
    pub(super) stream: DuplexStream,
    pub(super) cuts: [CancellationToken; 2],
}

impl World {
    /// The broker and everything on it.
    pub(super) async fn build(scenario: Scenario, log_entries_max: usize) -> Result<Arc<Self>, Broken> {
        let (recorder, began, seed) = (Recorder::new(), Instant::now(), scenario.seed);
        let clock = NodeClock::new(began);
        let memory = Memory::new(broker::memory::Options {
            seams: seams(&clock, mix(seed, 1)),
            log_entries_max,
            sync_interval: scenario.setup.sync_interval_ms.map(Duration::from_millis),
            ..broker::memory::Options::default()
        });
        let topology = Topology::new(Subjects::default());
        memory.ensure(&topology.streams(&limits(&scenario))).await?;
        let world = Arc::new(Self {
            providers: Providers::new(recorder.clone(), seed),
            targets: Targets::new(recorder.clone(), clock, seed),
            services: Wire::to(&memory),
            scenario: Arc::new(scenario),
            recorder,
            memory,
            topology,
            began,
            nodes: Mutex::default(),
            births: Mutex::default(),
            clients: Mutex::default(),
            cut: AtomicBool::new(false),
        });
        for node in world.all_nodes() {
            world.start(node).await?;
        }
        Ok(world)
    }

    /// Every node of the setup.
    pub(super) fn all_nodes(&self) -> Vec<Node> {
        let setup = &self.scenario.setup;
        let engines = (0..setup.engines).map(Node::Engine);
        engines.chain((0..setup.gateways.len()).map(Node::Gateway)).collect()
    }

    /// Starts `node`, unless it runs.
    pub(super) async fn start(self: &Arc<Self>, node: Node) -> Result<(), Broken> {
        if self.nodes.lock().contains_key(&node) {
            return Ok(());
        }
        let birth = {
            let mut births = self.births.lock();
            let birth = births.entry(node).or_default();
            *birth += 1;
            *birth
        };
        let clock = NodeClock::new(self.began);
        let wire = Wire::to(&self.memory);
        let (Node::Engine(number) | Node::Gateway(number)) = node;
        let kind = if matches!(node, Node::Engine(_)) { 100 } else { 200 };
        let seams = seams(&clock, mix(mix(self.scenario.seed, kind + number as u64), birth));
        let body = match node {
            Node::Engine(number) => {
                let name = format!("e{number}-{birth}");
                Body::Engine(Box::new(Engine::start(self, name, &wire, seams).await?))
            }
            Node::Gateway(number) => Body::Gateway(Gateway::start(self, number, &wire, seams).await?),
        };
        self.tell(node, birth, None);
        if self.cut.load(Ordering::Relaxed) {
            wire.cut();
        }
        self.nodes.lock().insert(node, Living { birth, wire, clock, body });
        Ok(())
    }

    /// Ends `node` at once, as SIGKILL does: it says and does nothing more.
    pub(super) async fn kill(&self, node: Node) -> bool {
        let Some(living) = self.nodes.lock().remove(&node) else { return false };
        self.signal(node, living.birth, Signal::Kill);
        // The connection first, so that nobody hears what its tasks say while they are taken down.
        living.wire.cut();
        living.wire.close().await;
        match living.body {
            Body::Engine(engine) => {
                self.providers.engine_died(&engine.name);
                drop(engine);
            }
            Body::Gateway(gateway) => gateway.kill(),
        }
        self.tell(node, living.birth, Some("signal 9"));
        true
    }

    /// Ends `node` as SIGTERM does.
    pub(super) async fn drain(&self, node: Node) -> bool {
        let Some(living) = self.nodes.lock().remove(&node) else { return false };
        self.signal(node, living.birth, Signal::Drain);
        match living.body {
            Body::Engine(engine) => {
                let name = engine.name.clone();
                engine.drain().await;
                self.providers.engine_died(&name);
            }
            Body::Gateway(gateway) => gateway.drain().await,
        }
        living.wire.close().await;
        self.tell(node, living.birth, Some("exit 0"));
        true
    }

    /// Writes down that a process began or ended.
    fn tell(&self, node: Node, birth: u64, ended: Option<&str>) {
        let pid = u32::try_from(birth).unwrap_or(u32::MAX);
        let fact = Fact::Process { role: node.to_string(), pid, ended: ended.map(str::to_owned) };
        self.recorder.write("harness", fact);
    }

    fn signal(&self, node: Node, birth: u64, signal: Signal) {
        let pid = u32::try_from(birth).unwrap_or(u32::MAX);
        self.recorder.write("nemesis", Fact::Signalled { role: node.to_string(), pid, signal });
    }

    /// Cuts the connection of `node` to the broker, or mends it.
    pub(super) fn connect(&self, node: Node, up: bool) -> bool {
        let nodes = self.nodes.lock();
        let Some(living) = nodes.get(&node) else { return false };
        if up {
            living.wire.mend()
        } else {
            living.wire.cut()
        }
        true
    }

    /// The same for everybody.
    pub(super) fn connect_all(&self, up: bool) {
        self.cut.store(!up, Ordering::Relaxed);
        for node in self.all_nodes() {
            self.connect(node, up);
        }
        if up { self.services.mend() } else { self.services.cut() }
    }

    /// Makes the wall clock of `node` jump.
    pub(super) fn jump(&self, node: Node, by_ms: i64) -> bool {
        let nodes = self.nodes.lock();
        let jumped = nodes.get(&node).map(|living| living.clock.jump(by_ms)).is_some();
        if jumped {
            self.recorder.write("nemesis", Fact::Jumped { by_ms });
        }
        jumped
    }

    /// Cuts every connection of a client.
    pub(super) fn cut_clients(&self) {
        std::mem::take(&mut *self.clients.lock()).cancel();
    }

    /// A connection to a gateway of `tenant`; `turn` chooses among several. `None` if none takes one now.
    pub(super) fn dial(&self, tenant: &Tenant, turn: usize) -> Option<Pipe> {
        let nodes = self.nodes.lock();
        let own: Vec<_> = nodes
            .values()
            .filter_map(|living| match &living.body {
                Body::Gateway(gateway) if gateway.tenant == *tenant => Some(gateway),
                _ => None,
            })
            .collect();
        let gateway = own.get(turn.checked_rem(own.len())?)?;
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        gateway.connections.try_send(theirs).ok()?;
        Some(Pipe { stream: ours, cuts: [gateway.dead.clone(), self.clients.lock().clone()] })
    }
}

impl Pipe {
    /// Resolves when the connection is cut.
    pub(super) async fn cut(cuts: &[CancellationToken; 2]) {
        tokio::select! {
            biased;
            () = cuts[0].cancelled() => {}
            () = cuts[1].cancelled() => {}
        }
    }
}

/// How much the streams hold.
fn limits(scenario: &Scenario) -> Limits {
    Limits {
        queued_max: scenario.setup.queued_max,
        events_age: Duration::from_millis(scenario.setup.events_age_ms),
        duplicate_window: Duration::from_millis(scenario.setup.duplicate_window_ms),
        ..Limits::default()
    }
}

/// Connections on their way to a gateway.
pub(super) type Connections = mpsc::Sender<DuplexStream>;
