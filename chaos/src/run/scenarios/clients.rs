//! Scenarios of clients, and of their links.

use crate::{
    Guarantee::{I1, I3, I5, I6, I7, I8},
    run::scenario::{Fault, Link, Load, Scenario, Settings, Step},
};

/// Clients read slowly.
pub(super) const SLOW: Scenario = Scenario {
    name: "clients-slow",
    about: "Most clients read slowly, and their link is narrow.",
    aims: &[I1, I5, I7],
    steps: &[
        Step { at_ms: 500, lasts_ms: 9_000, fault: Fault::Readers },
        Step {
            at_ms: 1_000,
            lasts_ms: 7_000,
            fault: Fault::Link(Link::Clients, "down:bandwidth=64k,slice=700"),
        },
    ],
    fault_seconds: 10,
    settings: Settings::USUAL,
    load: Load { slow: 0.6, vanishing: 0.0, tokens_max: 60, ..Load::USUAL },
};

/// Clients go away.
pub(super) const VANISHING: Scenario = Scenario {
    name: "clients-vanishing",
    about: "Most clients go away in the middle of their answer, and their connections are cut and reset.",
    aims: &[I1, I3, I5, I7],
    steps: &[
        Step { at_ms: 500, lasts_ms: 9_000, fault: Fault::Readers },
        Step { at_ms: 2_000, lasts_ms: 200, fault: Fault::Link(Link::Clients, "reset") },
        Step { at_ms: 4_000, lasts_ms: 200, fault: Fault::Link(Link::Clients, "down:cut") },
        Step { at_ms: 6_000, lasts_ms: 3_000, fault: Fault::Link(Link::Clients, "down:reset-after=6k") },
    ],
    fault_seconds: 10,
    settings: Settings::USUAL,
    load: Load { slow: 0.0, vanishing: 0.5, ..Load::USUAL },
};

/// One tenant floods the engine.
pub(super) const FLOOD: Scenario = Scenario {
    name: "tenant-flooding",
    about: "One tenant publishes twenty times as much as all others together.",
    aims: &[I1, I6, I7, I8],
    steps: &[Step { at_ms: 1_000, lasts_ms: 5_000, fault: Fault::Flood(200) }],
    fault_seconds: 8,
    settings: Settings { concurrency: 16, ..Settings::USUAL },
    load: Load { per_second: 10, ..Load::USUAL },
};
