//! Scenarios of a provider.

use crate::{
    Guarantee::{I1, I3, I4, I5, I9, I12, I15},
    run::scenario::{Fault, Link, Load, Scenario, Settings, Step},
};

/// Half of the calls fail, the rest are slow.
pub(super) const BROWN_OUT: Scenario = Scenario {
    name: "provider-brown-out",
    about: "The provider is slow and fails half of its calls with 503, then all of them for a while.",
    aims: &[I1, I3, I4, I15],
    steps: &[
        Step { at_ms: 1_000, lasts_ms: 4_000, fault: Fault::Provider("first=400ms,503,share=50") },
        Step { at_ms: 6_000, lasts_ms: 3_000, fault: Fault::Provider("500") },
    ],
    fault_seconds: 10,
    settings: Settings::USUAL,
    load: Load::USUAL,
};

/// It answers 429 and says when to come back.
pub(super) const LIMITED: Scenario = Scenario {
    name: "provider-429-retry-after",
    about: "The provider answers every other call with 429 and a Retry-After of one second, over a limit of our own.",
    aims: &[I1, I4, I9],
    steps: &[Step { at_ms: 1_000, lasts_ms: 6_000, fault: Fault::Provider("429,share=50,retry-after=1") }],
    fault_seconds: 9,
    settings: Settings { rate: Some(1_500), ..Settings::USUAL },
    load: Load::USUAL,
};

/// It answers 429 and nothing else.
pub(super) const LIMITED_SILENTLY: Scenario = Scenario {
    name: "provider-429-bare",
    about: "The provider answers two of three calls with 429 and does not say when to come back.",
    aims: &[I1, I4],
    steps: &[Step { at_ms: 1_000, lasts_ms: 6_000, fault: Fault::Provider("429,share=66") }],
    fault_seconds: 9,
    settings: Settings::USUAL,
    load: Load::USUAL,
};

/// It stops in mid-stream, or sends byte by byte.
pub(super) const STALLED: Scenario = Scenario {
    name: "provider-stalled",
    about: "Streams of the provider stand still after some tokens, or come a byte at a time.",
    aims: &[I1, I3, I5, I12],
    steps: &[
        Step { at_ms: 1_000, lasts_ms: 4_000, fault: Fault::Provider("stall-after=5,share=30") },
        Step { at_ms: 6_000, lasts_ms: 3_000, fault: Fault::Provider("drip,share=20") },
    ],
    fault_seconds: 10,
    settings: Settings::USUAL,
    load: Load::USUAL,
};

/// It sends something other than its protocol.
pub(super) const NONSENSE: Scenario = Scenario {
    name: "provider-nonsense",
    about: "The provider answers with malformed JSON, with half an answer, and with the page of a proxy.",
    aims: &[I1, I3, I4, I5],
    steps: &[
        Step { at_ms: 1_000, lasts_ms: 2_500, fault: Fault::Provider("malformed,share=40") },
        Step { at_ms: 4_000, lasts_ms: 2_500, fault: Fault::Provider("truncate,share=40") },
        Step { at_ms: 7_000, lasts_ms: 2_500, fault: Fault::Provider("html,share=40") },
    ],
    fault_seconds: 10,
    settings: Settings::USUAL,
    load: Load::USUAL,
};

/// It hangs up in mid-stream.
pub(super) const RESET: Scenario = Scenario {
    name: "provider-reset",
    about: "Connections to the provider are reset in mid-stream, by it and on the way, and refused.",
    aims: &[I1, I3, I4, I5],
    steps: &[
        Step { at_ms: 1_000, lasts_ms: 3_000, fault: Fault::Provider("reset-after=6,share=40") },
        Step { at_ms: 5_000, lasts_ms: 2_000, fault: Fault::Link(Link::Provider, "reset,refuse") },
    ],
    fault_seconds: 10,
    settings: Settings::USUAL,
    load: Load::USUAL,
};
