//! Injects faults into a memory broker, and heals them.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    Memory,
    class::{FaultClass, Reach},
    effects::Undone,
    faults::{Fault, Rule, RuleId},
    log::Event,
    parse,
    state::State,
};
use crate::{Error, ErrorKind, Link, subject::Pattern};

impl Memory {
    /// Adds a fault, from now on. Fails if the pattern of `rule` is invalid.
    pub fn inject(&self, rule: Rule) -> Result<RuleId, Error> {
        self.handle.world.state.lock().effects.faults.add(rule)
    }

    /// Removes one fault. Messages that it holds back stay so until their time.
    pub fn heal(&self, rule: RuleId) {
        self.handle.world.state.lock().effects.faults.heal(Some(rule));
    }

    /// Removes all faults and switches all classes off: the broker runs, and is within reach.
    pub fn heal_all(&self) {
        for class in FaultClass::ALL {
            self.switch_off(class);
        }
        self.reconnect();
        self.handle.world.state.lock().effects.faults.heal(None);
    }

    /// How often a fault has struck.
    pub fn fired(&self, rule: RuleId) -> u64 {
        self.handle.world.state.lock().effects.faults.fired(rule)
    }

    /// Switches a class of faults on; if it is on already, sets it up anew. A class that does not last strikes now.
    /// Fails if the pattern of `reach` is invalid.
    pub fn switch_on(&self, class: FaultClass, reach: &Reach) -> Result<(), Error> {
        let pattern = parse(&reach.pattern)?;
        self.switch_off(class);
        let now = Instant::now();
        let mut state = self.handle.world.state.lock();
        state.effects.log.record(now, || Event::Switched(class, true));
        let rule = state.strike(class, reach, &pattern, now)?;
        if class.lasts() {
            state.switched.insert(class, rule);
        }
        self.relink(&mut state, now);
        // Waiting operations find out what has become of what they wait for.
        state.ring();
        Ok(())
    }

    /// Switches a class of faults off. Messages that it holds back stay so until their time; lost ones stay lost.
    pub fn switch_off(&self, class: FaultClass) {
        let at = self.handle.moment();
        let mut state = self.handle.world.state.lock();
        let Some(rule) = state.switched.remove(&class) else { return };
        state.effects.log.record(at.now, || Event::Switched(class, false));
        match class {
            FaultClass::Disconnect => state.down.cut = false,
            FaultClass::Restart => state.down.killed = false,
            FaultClass::PowerFailure => state.down.powerless = false,
            FaultClass::Freeze => state.thaw(at),
            FaultClass::Disable => state.disabled = false,
            FaultClass::Overflow => state.subscribers.squeeze(None),
            _ => {}
        }
        if rule.is_some() {
            state.effects.faults.heal(rule);
        }
        self.relink(&mut state, at.now);
        state.ring();
        self.handle.world.thawed.notify_waiters();
    }

    /// How often a class of faults has made a difference, whether it was switched on or its rules were added singly.
    pub fn fired_of(&self, class: FaultClass) -> u64 {
        self.handle.world.state.lock().effects.faults.fired_of(class)
    }

    /// How often each class of faults has made a difference.
    pub fn fired_by_class(&self) -> BTreeMap<FaultClass, u64> {
        FaultClass::ALL.into_iter().map(|class| (class, self.fired_of(class))).collect()
    }

    /// What the last power failure or kill undid, although it had been acknowledged.
    pub fn undone(&self) -> Vec<Undone> {
        self.handle.world.state.lock().effects.undone.clone()
    }

    /// Cuts every connection: operations, waiting ones too, fail with `Disconnected`. Time goes on, leases lapse.
    pub fn disconnect(&self) {
        let now = Instant::now();
        let mut state = self.handle.world.state.lock();
        state.cut();
        self.relink(&mut state, now);
    }

    /// Ends [`Self::disconnect`]. Subscriptions and consumers go on as before.
    pub fn reconnect(&self) {
        let mut state = self.handle.world.state.lock();
        state.down.cut = false;
        state.switched.remove(&FaultClass::Disconnect);
        self.relink(&mut state, Instant::now());
    }

    /// Brings the link up or down, as the outages require.
    fn relink(&self, state: &mut State, now: Instant) {
        let link = if state.down.any() { Link::Down(now) } else { Link::Up };
        let changed = self.handle.world.link.send_if_modified(|have| {
            let changed = (*have == Link::Up) != (link == Link::Up);
            if changed {
                *have = link;
            }
            changed
        });
        if changed {
            state.effects.counters.disconnects += u64::from(link != Link::Up);
            state.effects.log.record(now, || Event::Linked(link));
            state.ring();
            self.handle.world.thawed.notify_waiters();
        }
    }
}

impl State {
    /// Makes a class strike from now on. If the class consists of a rule, returns the rule.
    fn strike(
        &mut self,
        class: FaultClass,
        reach: &Reach,
        pattern: &Pattern,
        now: Instant,
    ) -> Result<Option<RuleId>, Error> {
        let fault = match class {
            FaultClass::Full => Fault::Refuse(ErrorKind::Full),
            FaultClass::Lose => Fault::Lose,
            FaultClass::LoseAck => Fault::LoseAck,
            FaultClass::SlowAck => Fault::SlowAck(reach.delay),
            FaultClass::Delay => Fault::Delay(reach.delay),
            FaultClass::Shuffle => Fault::Shuffle(reach.delay),
            FaultClass::Drop => Fault::Drop,
            FaultClass::Duplicate => Fault::Duplicate,
            FaultClass::LoseSettlement => Fault::LoseSettlement,
            FaultClass::LateSettlement => Fault::LateSettlement(reach.delay),
            other => {
                self.strike_at_large(other, reach, pattern, now);
                return Ok(None);
            }
        };
        self.effects.faults.add(Rule::new(fault, &reach.pattern).probability(reach.probability)).map(Some)
    }

    /// Makes a class strike that does not concern single messages.
    fn strike_at_large(&mut self, class: FaultClass, reach: &Reach, pattern: &Pattern, now: Instant) {
        match class {
            FaultClass::Disconnect => self.cut(),
            FaultClass::Restart => self.kill(now),
            FaultClass::PowerFailure => self.fail_power(pattern, reach.probability, now),
            FaultClass::Freeze => self.freeze(),
            FaultClass::Disable => self.disabled = true,
            FaultClass::Overflow => self.subscribers.squeeze(Some((pattern.clone(), reach.queue_max))),
            FaultClass::Lapse => self.end_leases(pattern, now),
            FaultClass::ForgetIds => self.forget_ids(pattern, now),
            FaultClass::DeleteConsumer => self.delete_consumers(pattern, now),
            FaultClass::DeleteStream => self.delete_streams(pattern, now),
            _ => {}
        }
    }
}
