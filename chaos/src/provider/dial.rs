//! The dial on a simulated provider: how calls are answered that say nothing themselves, changed while it serves.

use std::sync::Arc;

use super::behaviour::Behaviour;
use super::sim::Sim;

/// A cheap handle; clones turn the same provider.
#[derive(Clone, Debug)]
pub struct Dial {
    sim: Arc<Sim>,
}

impl Dial {
    pub(super) fn of(sim: &Arc<Sim>) -> Self {
        Self { sim: Arc::clone(sim) }
    }

    /// From the next call on, calls are answered like this, where neither model nor header says otherwise.
    pub fn set(&self, behaviour: Behaviour) {
        self.sim.turn(behaviour);
    }

    /// How many calls were hit by a fault so far.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.sim.struck()
    }
}
