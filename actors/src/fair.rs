//! Decides which lane is next: classes by rank, and inside a class the tenant that was served least. Pure: nothing here
//! waits, asks or knows the time.
//!
//! Start-time fair queueing. Each lane has a virtual time: what it has been served, in the cost of its jobs. A grant
//! charges the expected cost of a job of this lane; the job's end corrects the charge. A lane that returns after a
//! pause starts where the others are, so idle time earns nothing; a lane without competition gets everything.
//!
//! The shared lane has no past, since its next job is another tenant's: beside the others it gets as many turns as it
//! has jobs, each of which counts as one tenant's.

mod turns;

use std::{collections::BTreeMap, sync::Arc};

use schemas::Priority;

use self::turns::{Turn, Turns};

/// At least one of this many grants goes to the class while it has work: lower classes never starve.
const fn share(class: Priority) -> u32 {
    match class {
        Priority::Interactive => 1,
        Priority::Standard => 5,
        Priority::Batch => 20,
    }
}

/// From the lowest to the highest.
const CLASSES: [Priority; 3] = [Priority::Batch, Priority::Standard, Priority::Interactive];
/// How much the last job counts in the expected cost of the next.
const LEARNING: f64 = 0.2;

/// Jobs served in their order, and fairly beside other lanes: one class of one tenant, or of all tenants with a small
/// backlog.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// Its class.
    pub class: Priority,
    /// Its tenant; `None` if tenants share it.
    pub tenant: Option<Arc<str>>,
}

impl Lane {
    /// The lane of one tenant.
    pub fn of_tenant(class: Priority, tenant: impl Into<Arc<str>>) -> Self {
        Self { class, tenant: Some(tenant.into()) }
    }

    /// The lane that tenants share.
    pub const fn shared(class: Priority) -> Self {
        Self { class, tenant: None }
    }
}

/// The lanes of one queue.
#[derive(Debug)]
pub struct FairQueue {
    lanes: BTreeMap<Lane, State>,
    /// The tenants' own lanes that a grant could go to.
    turns: Turns,
    classes: BTreeMap<Priority, Class>,
    /// The expected cost of a job in a lane without a past.
    cost: f64,
    grants: u64,
}

#[derive(Debug, Default)]
struct Class {
    /// The virtual time of the last grant, at its start.
    now: f64,
    /// Grants that went to others while this class had work.
    passed_over: u32,
    /// How far the shared lane is ahead of the others, in rounds of turns: from -1 to 1.
    lead: f64,
}

#[derive(Debug)]
struct State {
    virtual_time: f64,
    /// How many jobs are believed to wait.
    demand: u64,
    /// A question to this lane is open: no grant before the answer.
    asked: bool,
    /// Granted and not ended.
    running: u64,
    cost: f64,
    granted_at: u64,
}

impl Default for FairQueue {
    fn default() -> Self {
        Self {
            lanes: BTreeMap::new(),
            turns: Turns::default(),
            classes: BTreeMap::new(),
            cost: 1.0,
            grants: 0,
        }
    }
}

impl FairQueue {
    /// `more` jobs are believed to have come into `lane`.
    pub fn arrive(&mut self, lane: &Lane, more: u64) {
        self.believe(lane, self.demand(lane).saturating_add(more));
    }

    /// `demand` jobs are believed to wait in `lane`.
    pub fn believe(&mut self, lane: &Lane, demand: u64) {
        let now = self.classes.get(&lane.class).map_or(0.0, |class| class.now);
        let cost = self.cost;
        let fresh = || State { virtual_time: now, demand: 0, asked: false, running: 0, cost, granted_at: 0 };
        self.lanes.entry(lane.clone()).or_insert_with(fresh);
        self.change(lane, |state| {
            if state.demand == 0 && demand > 0 {
                state.virtual_time = state.virtual_time.max(now);
            }
            state.demand = demand;
        });
    }

    /// How many jobs are believed to wait in `lane`.
    pub fn demand(&self, lane: &Lane) -> u64 {
        self.lanes.get(lane).map_or(0, |state| state.demand)
    }

    /// Something may wait in `lane`, which holds `held` jobs, including those that run here or elsewhere.
    pub fn suspect(&mut self, lane: &Lane, held: u64) {
        let running = self.lanes.get(lane).map_or(0, |state| state.running);
        // A tenant's own lane shows its backlog when asked; how many tenants share a lane must be known before.
        let waiting = if lane.tenant.is_none() { held.saturating_sub(running) } else { 0 };
        self.believe(lane, self.demand(lane).max(waiting).max(1));
    }

    /// Whether a grant would find a lane.
    pub fn has_demand(&self) -> bool {
        self.class().is_some()
    }

    /// How many lanes a grant could go to.
    pub fn competing(&self) -> usize {
        self.turns.len() + CLASSES.into_iter().filter(|class| self.shared(*class).is_some()).count()
    }

    /// Grants one job to the lane whose turn it is, and charges it.
    pub fn grant(&mut self) -> Option<Lane> {
        let class = self.class()?;
        let lane = self.next(class)?;
        self.note(class);
        self.take_turn(&lane);
        self.charge(&lane, 1);
        Some(lane)
    }

    /// Grants `jobs` more jobs to `lane`, whether or not they are believed to wait, and charges them.
    pub fn charge(&mut self, lane: &Lane, jobs: u64) {
        let Some(state) = self.lanes.get(lane).filter(|_| jobs > 0) else { return };
        self.grants += 1;
        if lane.tenant.is_some() {
            self.classes.entry(lane.class).or_default().now = state.virtual_time;
        }
        let grants = self.grants;
        self.change(lane, |state| {
            state.virtual_time += state.cost * jobs as f64;
            state.demand = state.demand.saturating_sub(jobs);
            state.running += jobs;
            state.granted_at = grants;
        });
    }

    /// `jobs` grants found no job.
    pub fn refund(&mut self, lane: &Lane, jobs: u64) {
        self.change(lane, |state| {
            state.virtual_time -= state.cost * jobs as f64;
            state.running = state.running.saturating_sub(jobs);
        });
    }

    /// What a job of `lane` is charged before its cost is known.
    pub fn estimate(&self, lane: &Lane) -> f64 {
        self.lanes.get(lane).map_or(self.cost, |state| state.cost)
    }

    /// A job that was charged `estimate` has ended; `cost` is `None` if nobody knows it.
    pub fn end(&mut self, lane: &Lane, estimate: f64, cost: Option<f64>) {
        self.change(lane, |state| {
            state.running = state.running.saturating_sub(1);
            if let Some(cost) = cost {
                state.virtual_time += cost - estimate;
                state.cost += (cost - state.cost) * LEARNING;
            }
        });
        if let Some(cost) = cost.filter(|_| self.lanes.contains_key(lane)) {
            self.cost += (cost - self.cost) * LEARNING;
        }
    }

    /// `lane` is being asked for jobs, or has answered.
    pub fn set_asked(&mut self, lane: &Lane, asked: bool) {
        self.change(lane, |state| state.asked = asked);
    }

    /// Whether nothing waits in `lane`, nothing runs, and no question to it is open.
    pub fn is_idle(&self, lane: &Lane) -> bool {
        self.lanes.get(lane).is_none_or(|state| state.demand == 0 && state.running == 0 && !state.asked)
    }

    /// Forgets `lane`. If it comes back, it begins where the others are.
    pub fn forget(&mut self, lane: &Lane) {
        // Without demand it has no turn.
        self.believe(lane, 0);
        self.lanes.remove(lane);
    }

    /// The lanes.
    pub fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.keys()
    }

    /// The class whose turn it is: the lowest one passed over for long enough, else the highest.
    fn class(&self) -> Option<Priority> {
        let with_work = |class: &Priority| self.has_work(*class);
        let due = |class: &Priority| {
            let passed_over = self.classes.get(class).map_or(0, |class| class.passed_over);
            passed_over + 1 >= share(*class)
        };
        let mut classes = CLASSES.into_iter().filter(with_work);
        classes.clone().find(due).or_else(|| classes.next_back())
    }

    /// The next grant goes to `class`.
    fn note(&mut self, class: Priority) {
        for other in CLASSES {
            let waits = other != class && self.has_work(other);
            let passed_over = &mut self.classes.entry(other).or_default().passed_over;
            *passed_over = if waits { passed_over.saturating_add(1) } else { 0 };
        }
    }

    fn has_work(&self, class: Priority) -> bool {
        self.turns.first(class).is_some() || self.shared(class).is_some()
    }

    /// The lane of `class` whose turn it is.
    fn next(&self, class: Priority) -> Option<Lane> {
        let is_ahead = self.classes.get(&class).is_some_and(|class| class.lead > 0.0);
        match (self.shared(class), self.turns.first(class)) {
            (Some(_), own) if own.is_none() || !is_ahead => Some(Lane::shared(class)),
            (_, own) => own.cloned(),
        }
    }

    /// The shared lane of `class`, if a grant could go to it.
    fn shared(&self, class: Priority) -> Option<&State> {
        self.lanes.get(&Lane::shared(class)).filter(|state| state.is_eligible())
    }

    /// Counts a turn of `lane` if tenants with lanes of their own compete with tenants that share one: each tenant has
    /// one turn a round. If one side gets turns while the other is being asked, the other catches up, by at most a
    /// round; a side without a backlog is owed nothing and catches up on nothing.
    fn take_turn(&mut self, lane: &Lane) {
        let shared = self.lanes.get(&Lane::shared(lane.class));
        let waits = shared.is_some_and(|state| state.demand > 0);
        let sharing = shared.map_or(0, |state| state.demand + state.running).max(1);
        let own = self.turns.len_of(lane.class);
        let lead = &mut self.classes.entry(lane.class).or_default().lead;
        *lead = match lane.tenant {
            None if own == 0 => (*lead + 1.0 / sharing as f64).min(0.0),
            None => *lead + 1.0 / sharing as f64,
            Some(_) if waits => (*lead - 1.0 / own.max(1) as f64).max(-1.0),
            Some(_) => (*lead - 1.0 / own.max(1) as f64).max(0.0),
        };
    }

    /// Changes what is known of `lane`, and its turn accordingly.
    fn change(&mut self, lane: &Lane, change: impl FnOnce(&mut State)) {
        let Some(state) = self.lanes.get_mut(lane) else { return };
        let before = state.turn();
        change(state);
        if lane.tenant.is_some() {
            self.turns.change(lane, before, state.turn());
        }
    }
}

impl State {
    /// Whether a grant could go to it.
    const fn is_eligible(&self) -> bool {
        self.demand > 0 && !self.asked
    }

    /// When its turn would come; `None` if no grant can go to it.
    fn turn(&self) -> Option<Turn> {
        self.is_eligible().then(|| Turn::new(self.virtual_time, self.granted_at))
    }
}

#[cfg(test)]
mod tests;
