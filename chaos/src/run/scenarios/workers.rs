//! Scenarios of a worker process.

use crate::{
    Guarantee::{I1, I3, I4, I5, I12, I13},
    run::scenario::{Fault, Load, Scenario, Settings, Step, Victim},
};

/// Killed in the middle of its work.
pub(super) const KILLED: Scenario = Scenario {
    name: "worker-killed",
    about: "A worker process is killed in the middle of its work, twice.",
    aims: &[I1, I3, I4, I5, I13],
    steps: &[
        Step { at_ms: 1_000, lasts_ms: 4_000, fault: Fault::Kill(Victim::Worker) },
        Step { at_ms: 6_000, lasts_ms: 4_000, fault: Fault::Kill(Victim::Worker) },
    ],
    fault_seconds: 10,
    settings: Settings::USUAL,
    load: Load::USUAL,
};

/// Stopped: alive to the system, dead to everybody else.
pub(super) const STOPPED: Scenario = Scenario {
    name: "worker-stopped",
    about: "A worker process is stopped (SIGSTOP), so that it lives and does nothing.",
    aims: &[I1, I3, I5, I12, I13],
    steps: &[Step { at_ms: 1_000, lasts_ms: 9_000, fault: Fault::Freeze(Victim::Worker) }],
    fault_seconds: 11,
    settings: Settings::USUAL,
    load: Load::USUAL,
};

/// Stopped for longer than its lease and resumed before anybody has ended it: a zombie.
pub(super) const ZOMBIE: Scenario = Scenario {
    name: "worker-zombie",
    about: "A worker process is stopped for longer than its lease and wakes up: what it says then is late.",
    aims: &[I1, I3, I5],
    steps: &[Step { at_ms: 1_000, lasts_ms: 6_000, fault: Fault::Freeze(Victim::Worker) }],
    fault_seconds: 9,
    settings: Settings { silence_kill_ms: 20_000, ..Settings::USUAL },
    load: Load::USUAL,
};

/// Spinning: its thread computes for ever and never yields.
pub(super) const SPINNING: Scenario = Scenario {
    name: "worker-spinning",
    about: "A request makes the thread of whichever worker takes it spin for ever.",
    aims: &[I1, I3, I12, I13],
    steps: &[Step { at_ms: 1_000, lasts_ms: 11_000, fault: Fault::Spin }],
    fault_seconds: 12,
    settings: Settings { attempts_max: 3, ..Settings::USUAL },
    load: Load::USUAL,
};

/// Killed each time soon after it has started.
pub(super) const STORM: Scenario = Scenario {
    name: "restart-storm",
    about: "The workers are killed one after the other, each soon after it has come up.",
    aims: &[I1, I3, I4, I13],
    steps: &[Step { at_ms: 1_000, lasts_ms: 9_000, fault: Fault::Storm(Victim::Worker, 1_500) }],
    fault_seconds: 11,
    settings: Settings { attempts_max: 12, ..Settings::USUAL },
    load: Load { per_second: 12, ..Load::USUAL },
};
