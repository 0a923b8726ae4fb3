//! Carries out the plan: begins and heals each strike at its time, and counts it if it made a difference.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use broker::{
    ErrorKind,
    memory::{self, FaultClass, Reach, Rule, RuleId},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    Broken,
    plan::{Fault, Node, Strike, Trouble, Upset},
    power,
    world::World,
};
use crate::history::Fact;

/// How many messages a subscriber with little room takes: fewer than come at once.
const ROOM_LEFT: usize = 4;
/// How likely a stream loses its tail in a power failure: each has its own files, which reach the disk in their turn.
const TAIL_LOST: f64 = 0.5;

/// Breaks things by plan.
pub(super) struct Nemesis {
    world: Arc<World>,
    rules: BTreeMap<usize, RuleId>,
    /// Rules of the broker whose strikes are over, with their class: the end of the run counts what they did.
    struck: Vec<(String, RuleId)>,
    /// How many strikes hold the broker's link down.
    links_down: usize,
    /// Drains take time; the plan goes on meanwhile.
    drains: JoinSet<bool>,
    /// Nodes to be started.
    absent: BTreeSet<Node>,
    /// Nodes being started, and whether each start succeeded. With a broker in trouble that takes time as well.
    births: JoinSet<(Node, bool)>,
}

impl Nemesis {
    /// A nemesis that has done nothing yet.
    pub(super) fn new(world: Arc<World>) -> Self {
        Self {
            world,
            rules: BTreeMap::new(),
            struck: Vec::new(),
            links_down: 0,
            drains: JoinSet::new(),
            absent: BTreeSet::new(),
            births: JoinSet::new(),
        }
    }

    /// Carries out the scenario's plan from now on, then heals everything.
    pub(super) async fn run(mut self) -> Result<(), Broken> {
        let began = Instant::now();
        let scenario = Arc::clone(&self.world.scenario);
        let mut steps = BTreeMap::new();
        for (number, strike) in scenario.plan.strikes.iter().enumerate() {
            // What ends goes before what begins at the same time.
            steps.insert((strike.at_ms + strike.for_ms, false, number), strike);
            steps.insert((strike.at_ms, true, number), strike);
        }
        for ((at_ms, begins, number), strike) in steps {
            sleep_until(began + Duration::from_millis(at_ms)).await;
            if begins { self.begin(number, strike).await? } else { self.heal(number, strike) }
        }
        self.heal_all().await
    }

    async fn begin(&mut self, number: usize, strike: &Strike) -> Result<(), Broken> {
        let world = &self.world;
        let fault = &strike.fault;
        self.say(true, fault);
        let fired = match fault {
            Fault::Broker { trouble, kind, probability, delay_ms } => {
                let fault = trouble_of(*trouble, Duration::from_millis(*delay_ms));
                let rule = Rule::new(fault, world.topology.subjects.all(kind)).probability(*probability);
                let id = world.memory.inject(rule)?;
                self.rules.insert(number, id);
                self.struck.push((strike.fault.class(), id));
                false
            }
            Fault::Upset { upset, kind } => {
                let reach = match upset {
                    Upset::PowerFailure => Reach { probability: TAIL_LOST, ..Reach::default() },
                    _ => {
                        let pattern = world.topology.subjects.all(kind);
                        Reach { pattern, queue_max: ROOM_LEFT, ..Reach::default() }
                    }
                };
                world.memory.switch_on(class_of(*upset), &reach)?;
                if upset.ends_connections() {
                    power::tell(world);
                    self.links_down += 1;
                    world.connect_all(false);
                }
                false
            }
            Fault::LinkDown => {
                self.links_down += 1;
                world.connect_all(false);
                true
            }
            Fault::NodeCut { node } => world.connect(*node, false),
            Fault::Kill { node } => world.kill(*node).await,
            Fault::Drain { node } => {
                let (world, node) = (Arc::clone(world), *node);
                self.drains.spawn(async move { world.drain(node).await });
                true
            }
            Fault::Provider { provider, mood, probability } => {
                world.providers.upset(number, provider, *mood, *probability);
                false
            }
            Fault::Target { mood, probability } => {
                world.targets.upset(number, *mood, *probability);
                false
            }
            Fault::ClientsCut => {
                world.cut_clients();
                true
            }
            Fault::ClockJump { node, by_ms } => world.jump(*node, *by_ms),
        };
        if fired {
            self.world.recorder.fired(&strike.fault.class(), 1);
        }
        Ok(())
    }

    fn heal(&mut self, number: usize, strike: &Strike) {
        let world = &self.world;
        match &strike.fault {
            Fault::Broker { .. } => {
                if let Some(rule) = self.rules.remove(&number) {
                    world.memory.heal(rule);
                }
            }
            Fault::Upset { upset, .. } => {
                world.memory.switch_off(class_of(*upset));
                if upset.ends_connections() {
                    self.link_up();
                }
            }
            Fault::LinkDown => self.link_up(),
            Fault::NodeCut { node } if self.links_down == 0 => drop(world.connect(*node, true)),
            Fault::Kill { node } | Fault::Drain { node } => drop(self.absent.insert(*node)),
            Fault::Provider { .. } => world.providers.calm(number),
            Fault::Target { .. } => world.targets.calm(number),
            Fault::ClockJump { node, by_ms } => drop(world.jump(*node, -by_ms)),
            Fault::NodeCut { .. } | Fault::ClientsCut => {}
        }
        self.say(false, &strike.fault);
        self.revive();
    }

    /// Starts every node that is to come back. A gateway that does not find the broker ends, as its process would; it
    /// is started again when the next strike is over.
    fn revive(&mut self) {
        while let Some(born) = self.births.try_join_next() {
            // A node whose start died is started with all others at the end.
            if let Ok((node, false)) = born {
                self.absent.insert(node);
            }
        }
        for node in std::mem::take(&mut self.absent) {
            let world = Arc::clone(&self.world);
            self.births.spawn(async move { (node, world.start(node).await.is_ok()) });
        }
    }

    /// One of the strikes that held the link down is over.
    fn link_up(&mut self) {
        self.links_down -= 1;
        if self.links_down == 0 {
            self.world.connect_all(true);
        }
    }

    /// Whatever strikes overlapped: at the end everything runs and everything is connected.
    async fn heal_all(mut self) -> Result<(), Broken> {
        while self.drains.join_next().await.is_some() {}
        self.world.memory.heal_all();
        while self.births.join_next().await.is_some() {}
        let world = &self.world;
        for node in world.all_nodes() {
            world.start(node).await?;
        }
        world.connect_all(true);
        for upset in Upset::ALL {
            let class = Fault::Upset { upset, kind: String::new() }.class();
            let fired = world.memory.fired_of(class_of(upset));
            if fired > 0 {
                world.recorder.fired(&class, fired);
            }
        }
        for (class, rule) in &self.struck {
            world.recorder.fired(class, world.memory.fired(*rule));
        }
        Ok(())
    }

    fn say(&self, begins: bool, fault: &Fault) {
        let (class, target) = (fault.class(), fault.target());
        let fact = match begins {
            true => Fact::Injected { fault: class, target },
            false => Fact::Healed { fault: class, target },
        };
        self.world.recorder.write("nemesis", fact);
    }
}

const fn class_of(upset: Upset) -> FaultClass {
    match upset {
        Upset::Restart => FaultClass::Restart,
        Upset::PowerFailure => FaultClass::PowerFailure,
        Upset::Freeze => FaultClass::Freeze,
        Upset::Disable => FaultClass::Disable,
        Upset::Overflow => FaultClass::Overflow,
        Upset::Lapse => FaultClass::Lapse,
        Upset::ForgetIds => FaultClass::ForgetIds,
        Upset::DeleteConsumer => FaultClass::DeleteConsumer,
    }
}

const fn trouble_of(trouble: Trouble, delay: Duration) -> memory::Fault {
    match trouble {
        Trouble::Full => memory::Fault::Refuse(ErrorKind::Full),
        Trouble::Lose => memory::Fault::Lose,
        Trouble::LoseAck => memory::Fault::LoseAck,
        Trouble::SlowAck => memory::Fault::SlowAck(delay),
        Trouble::Delay => memory::Fault::Delay(delay),
        Trouble::Shuffle => memory::Fault::Shuffle(delay),
        Trouble::Drop => memory::Fault::Drop,
        Trouble::Duplicate => memory::Fault::Duplicate,
        Trouble::LoseSettlement => memory::Fault::LoseSettlement,
        Trouble::LateSettlement => memory::Fault::LateSettlement(delay),
    }
}
