//! The dial on a simulated provider: changes, while it serves, how it answers calls that say nothing themselves.

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

    /// Answers calls like this from the next one on, if neither model nor header says otherwise.
    pub fn set(&self, behaviour: Behaviour) {
        self.sim.turn(behaviour);
    }

    /// How many calls a fault has hit so far.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.sim.struck()
    }
}
