//! Scenarios on the life of a process: its start, and its memory after a long time.

use crate::bench::scenario::{Case, Kind, Scenario, Work};

pub(super) const START: Scenario = Scenario {
    name: "start",
    about: "from the start of the process until it takes requests, and to its first answer",
    kind: Kind::Start,
};

pub(super) const SOAK: Scenario = Scenario {
    name: "soak",
    about: "200 chats a second for minutes: what becomes of the memory",
    kind: Kind::Soak(Case::open(Work::Chat { delay_ms: 60 }, 200)),
};
