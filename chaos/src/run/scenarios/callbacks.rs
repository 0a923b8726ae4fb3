//! Scenarios of callbacks.

use crate::{
    Guarantee::{I1, I3, I11},
    run::scenario::{Fault, Link, Load, Scenario, Settings, Step},
};

/// Most requests ask for a callback.
const LOAD: Load = Load { callbacks: 0.8, ..Load::USUAL };

/// The target is down.
pub(super) const DOWN: Scenario = Scenario {
    name: "callbacks-down",
    about: "The target of callbacks cannot be reached, then it fails, then it answers too late.",
    aims: &[I1, I3, I11],
    steps: &[
        Step { at_ms: 1_000, lasts_ms: 2_000, fault: Fault::Link(Link::Receiver, "reset,refuse") },
        Step { at_ms: 4_000, lasts_ms: 2_000, fault: Fault::Receiver("status=503,retry-after=1") },
        Step { at_ms: 7_000, lasts_ms: 2_500, fault: Fault::Receiver("delay=1500ms") },
    ],
    fault_seconds: 10,
    settings: Settings::USUAL,
    load: LOAD,
};

/// The target is gone for good.
pub(super) const GONE: Scenario = Scenario {
    name: "callbacks-gone",
    about: "The target of callbacks says that it is gone for good (410).",
    aims: &[I1, I11],
    steps: &[Step { at_ms: 1_000, lasts_ms: 5_000, fault: Fault::Receiver("status=410") }],
    fault_seconds: 7,
    settings: Settings::USUAL,
    load: LOAD,
};
