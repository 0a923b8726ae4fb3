//! Scenarios of a gateway.

use crate::{
    Guarantee::{I1, I3, I5, I8, I14, I16},
    run::scenario::{Fault, Load, Scenario, Settings, Step, Victim},
};

/// Killed, while its clients go to another.
pub(super) const KILLED: Scenario = Scenario {
    name: "gateway-killed",
    about: "A gateway is killed with its workers; its clients go on at another, which resumes their streams.",
    aims: &[I1, I3, I5],
    steps: &[Step { at_ms: 1_000, lasts_ms: 4_000, fault: Fault::Kill(Victim::Gateway) }],
    fault_seconds: 8,
    settings: Settings { gateways: 2, ..Settings::USUAL },
    load: Load::USUAL,
};

/// Asked to end in the middle of its work, as in every deployment.
pub(super) const TERMINATED: Scenario = Scenario {
    name: "sigterm-under-load",
    about: "A gateway is asked to end (SIGTERM) under load, drains, and is started again.",
    aims: &[I1, I3, I5, I8, I14],
    steps: &[Step { at_ms: 1_000, lasts_ms: 3_000, fault: Fault::Terminate(Victim::Gateway) }],
    fault_seconds: 10,
    settings: Settings { gateways: 2, ..Settings::USUAL },
    load: Load::USUAL,
};

/// The wall clock jumps.
pub(super) const CLOCK: Scenario = Scenario {
    name: "clock-jump",
    about: "The wall clock of the engine jumps an hour ahead and back.",
    aims: &[I16],
    steps: &[Step { at_ms: 2_000, lasts_ms: 6_000, fault: Fault::Clock(3_600) }],
    fault_seconds: 10,
    settings: Settings::USUAL,
    // A signature carries wall-clock time: the receiver would rightly refuse it.
    load: Load { callbacks: 0.0, ..Load::USUAL },
};
