//! Scenarios of the broker, and of the link to it.

use crate::{
    Guarantee::{I1, I3, I4, I5, I7, I8, I15},
    run::scenario::{Fault, Link, Load, Scenario, Settings, Step, Victim},
};

/// Killed, and restarted on the same disk.
pub(super) const KILLED: Scenario = Scenario {
    name: "broker-killed",
    about: "The broker is killed and comes back on the same disk; what it kept in memory is gone.",
    aims: &[I1, I3, I8, I15],
    steps: &[Step { at_ms: 1_000, lasts_ms: 3_000, fault: Fault::Kill(Victim::Broker) }],
    fault_seconds: 9,
    settings: Settings::USUAL,
    load: Load::USUAL,
};

/// Restarted in good order, as in an upgrade.
pub(super) const RESTARTED: Scenario = Scenario {
    name: "broker-restarted",
    about: "The broker is asked to end (SIGTERM) and started again, twice.",
    aims: &[I1, I3, I5, I15],
    steps: &[
        Step { at_ms: 1_000, lasts_ms: 1_000, fault: Fault::Terminate(Victim::Broker) },
        Step { at_ms: 6_000, lasts_ms: 1_000, fault: Fault::Terminate(Victim::Broker) },
    ],
    fault_seconds: 10,
    settings: Settings::USUAL,
    load: Load::USUAL,
};

/// Stopped: connections stay open and nothing answers.
pub(super) const STOPPED: Scenario = Scenario {
    name: "broker-stopped",
    about: "The broker is stopped (SIGSTOP) for longer than a lease: connections stay open and nothing answers.",
    aims: &[I1, I3, I5, I8, I15],
    steps: &[Step { at_ms: 1_000, lasts_ms: 6_000, fault: Fault::Freeze(Victim::Broker) }],
    fault_seconds: 11,
    settings: Settings::USUAL,
    load: Load::USUAL,
};

/// The queues are full.
pub(super) const STORE_FULL: Scenario = Scenario {
    name: "broker-store-full",
    about: "The queues of the broker are small, and a flood fills them.",
    aims: &[I1, I3, I7, I8],
    steps: &[Step { at_ms: 1_000, lasts_ms: 6_000, fault: Fault::Flood(150) }],
    fault_seconds: 8,
    settings: Settings { concurrency: 4, queued_max: 100, stream_mib: 8, ..Settings::USUAL },
    load: Load { words_max: 400, ..Load::USUAL },
};

/// The disk is full.
pub(super) const DISK_FULL: Scenario = Scenario {
    name: "broker-disk-full",
    about: "The disk of the broker is full; then it has room again, and the broker is started again.",
    aims: &[I1, I3, I8, I15],
    steps: &[Step { at_ms: 1_000, lasts_ms: 5_000, fault: Fault::DiskFull }],
    fault_seconds: 10,
    settings: Settings::USUAL,
    load: Load::USUAL,
};

/// The link stalls, and heals on the same connection.
pub(super) const LINK_STALLED: Scenario = Scenario {
    name: "broker-link-stalled",
    about: "Nothing passes between engine and broker for a while; then everything arrives, on the same connection.",
    aims: &[I1, I3, I5, I15],
    steps: &[
        Step { at_ms: 1_000, lasts_ms: 2_000, fault: Fault::Link(Link::Broker, "stall") },
        Step { at_ms: 5_000, lasts_ms: 5_000, fault: Fault::Link(Link::Broker, "down:stall") },
    ],
    fault_seconds: 12,
    settings: Settings::USUAL,
    load: Load::USUAL,
};

/// The link drops traffic one way, then the other: half-open connections.
pub(super) const LINK_LOST: Scenario = Scenario {
    name: "broker-link-lost",
    about: "What engine and broker say to each other is lost, one way and then the other, and no end is told; then it \
            is reset.",
    aims: &[I1, I3, I4, I5, I8],
    steps: &[
        Step { at_ms: 1_000, lasts_ms: 3_000, fault: Fault::Link(Link::Broker, "up:swallow") },
        Step { at_ms: 5_000, lasts_ms: 3_000, fault: Fault::Link(Link::Broker, "down:swallow") },
        Step { at_ms: 9_000, lasts_ms: 500, fault: Fault::Link(Link::Broker, "reset") },
    ],
    fault_seconds: 11,
    settings: Settings::USUAL,
    load: Load::USUAL,
};
