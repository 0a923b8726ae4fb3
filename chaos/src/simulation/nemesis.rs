//! Carries out the plan: each strike begins and is healed at its time, and is counted where it made a difference.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use broker::{
    ErrorKind,
    memory::{self, Rule, RuleId},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    Broken,
    plan::{Fault, Strike, Trouble},
    world::World,
};
use crate::history::Fact;

/// Whoever breaks things.
pub(super) struct Nemesis {
    world: Arc<World>,
    rules: BTreeMap<usize, RuleId>,
    /// Rules of the broker whose strikes are over, with their class: what they did is counted at the end.
    struck: Vec<(String, RuleId)>,
    /// How many strikes hold the broker's link down.
    links_down: usize,
    /// Drains take their time; the plan goes on meanwhile.
    drains: JoinSet<bool>,
}

impl Nemesis {
    /// Has done nothing yet.
    pub(super) fn new(world: Arc<World>) -> Self {
        Self { world, rules: BTreeMap::new(), struck: Vec::new(), links_down: 0, drains: JoinSet::new() }
    }

    /// Carries out the plan of the scenario, from now on, and heals everything.
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
            if begins { self.begin(number, strike).await? } else { self.heal(number, strike).await? }
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

    async fn heal(&mut self, number: usize, strike: &Strike) -> Result<(), Broken> {
        let world = &self.world;
        match &strike.fault {
            Fault::Broker { .. } => {
                if let Some(rule) = self.rules.remove(&number) {
                    world.memory.heal(rule);
                }
            }
            Fault::LinkDown => {
                self.links_down -= 1;
                if self.links_down == 0 {
                    world.connect_all(true);
                }
            }
            Fault::NodeCut { node } if self.links_down == 0 => drop(world.connect(*node, true)),
            Fault::Kill { node } | Fault::Drain { node } => {
                world.start(*node).await?;
                if self.links_down > 0 {
                    world.connect(*node, false);
                }
            }
            Fault::Provider { .. } => world.providers.calm(number),
            Fault::Target { .. } => world.targets.calm(number),
            Fault::ClockJump { node, by_ms } => drop(world.jump(*node, -by_ms)),
            Fault::NodeCut { .. } | Fault::ClientsCut => {}
        }
        self.say(false, &strike.fault);
        Ok(())
    }

    /// Whatever overlapped: at the end everything runs and everything is connected.
    async fn heal_all(mut self) -> Result<(), Broken> {
        while self.drains.join_next().await.is_some() {}
        let world = &self.world;
        world.memory.heal_all();
        for node in world.all_nodes() {
            world.start(node).await?;
        }
        world.connect_all(true);
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
    }
}
