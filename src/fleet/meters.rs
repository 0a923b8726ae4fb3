//! The metrics of the worker processes.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, UpDownCounter},
};

/// The instruments of a fleet.
#[derive(Debug)]
pub(crate) struct Meters {
    running: UpDownCounter<i64>,
    restarts: Counter<u64>,
    alarms: Counter<u64>,
}

impl Default for Meters {
    fn default() -> Self {
        let meter = opentelemetry::global::meter("dynode");
        let counter = |name, what| meter.u64_counter(name).with_description(what).build();
        Self {
            running: meter
                .i64_up_down_counter("dynode.fleet.running")
                .with_description("Worker processes that run")
                .build(),
            restarts: counter(
                "dynode.fleet.restarts",
                "Worker processes that died and are replaced, by reason",
            ),
            alarms: counter(
                "dynode.fleet.alarms",
                "Worker processes that died so often that their slot rests",
            ),
        }
    }
}

impl Meters {
    /// One more process runs.
    pub(crate) fn started(&self) {
        self.running.add(1, &[]);
    }

    /// One process less runs.
    pub(crate) fn ended(&self) {
        self.running.add(-1, &[]);
    }

    /// A process died unexpectedly.
    pub(crate) fn died(&self, reason: &'static str) {
        self.restarts.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// A slot rests.
    pub(crate) fn alarm(&self) {
        self.alarms.add(1, &[]);
    }
}
