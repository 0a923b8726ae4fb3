//! What tests of the ledger ask of an engine.

use std::{sync::Arc, time::Duration};

use broker::{
    Limits, Stored,
    memory::{Fault, Memory, Rule, RuleId},
};
use futures_util::StreamExt;
use schemas::LedgerEntry;

use super::Engine;

impl Engine {
    /// One that keeps nothing of what requests have used.
    pub(crate) async fn without_ledger() -> Self {
        let mut engine = Self::start().await;
        engine.stop(Duration::ZERO).await;
        engine.topology = engine.topology.without_ledger();
        engine.memory = Memory::default();
        engine.broker = Arc::new(engine.memory.clone());
        engine.broker.ensure(&engine.topology.streams(&Limits::default())).await.unwrap();
        engine.start_again().await;
        engine
    }

    /// The ledger, oldest entry first.
    pub(crate) async fn ledger(&self) -> Vec<LedgerEntry> {
        let ledger = self.topology.ledger.as_ref().unwrap();
        let entries = self.broker.replay(ledger, &self.topology.subjects.all("use"), 0).await.unwrap();
        let read = |stored: Result<Stored, _>| {
            let message = stored.unwrap().message;
            message.format().decode(&message.payload).unwrap()
        };
        entries.map(read).collect().await
    }

    /// From now on what is published on `pattern` meets `fault`.
    pub(crate) fn fail(&self, pattern: &str, fault: Fault) -> RuleId {
        self.memory.inject(Rule::new(fault, pattern)).unwrap()
    }

    /// Ends what [`Self::fail`] began.
    pub(crate) fn heal(&self, fault: RuleId) {
        self.memory.heal(fault);
    }
}
