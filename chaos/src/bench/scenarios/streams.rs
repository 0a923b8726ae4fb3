//! Scenarios with streamed chats of 50 chunks.

use crate::bench::scenario::{Case, Kind, Scenario, Work};

/// All chunks come at once: what remains is the cost of a chunk.
const AT_ONCE: Work = Work::Stream { first_ms: 0, chunks: 50, gap_ms: 0 };
/// A fast model: it thinks for 60 ms, then sends a hundred tokens per second.
const SPEAKING: Work = Work::Stream { first_ms: 60, chunks: 50, gap_ms: 10 };

pub(super) const STREAM: Scenario = Scenario {
    name: "stream",
    about: "a streamed chat of 50 chunks that the provider sends at once",
    kind: Kind::Calls(&[Case::closed(AT_ONCE, 1), Case::closed(AT_ONCE, 64)]),
};

pub(super) const STREAM_10MS: Scenario = Scenario {
    name: "stream-10ms",
    about: "a streamed chat of 50 chunks, the first after 60 ms, then one each 10 ms",
    kind: Kind::Calls(&[Case::closed(SPEAKING, 1), Case::closed(SPEAKING, 64)]),
};

pub(super) const QUICK: Scenario =
    Scenario { kind: Kind::Calls(&[Case::closed(SPEAKING, 64)]), ..STREAM_10MS };
