//! Scenarios that grow step by step: what stays the same, and what does not.

use crate::bench::scenario::{Case, Kind, Scenario, Work};

const CHAT: Work = Work::Chat { delay_ms: 0 };
const ONE: Work = Work::Publish { tenants: 1 };

const fn of(tenants: u32) -> Case {
    Case::closed(Work::Publish { tenants }, 64)
}

const fn chat_for(tenants: u32) -> Case {
    Case::closed(Work::ChatFor { tenants }, 64)
}

pub(super) const GROWTH: Scenario = Scenario {
    name: "growth",
    about: "more and more requests on the bus at once",
    kind: Kind::Calls(&[
        Case::closed(ONE, 1),
        Case::closed(ONE, 10),
        Case::closed(ONE, 100),
        Case::closed(ONE, 1_000),
        Case::closed(ONE, 10_000),
    ]),
};

pub(super) const GROWTH_HTTP: Scenario = Scenario {
    name: "growth-http",
    about: "more and more requests over HTTP at once, each on a connection of its own",
    kind: Kind::Calls(&[
        Case::closed(CHAT, 1),
        Case::closed(CHAT, 10),
        Case::closed(CHAT, 100),
        Case::closed(CHAT, 1_000),
        Case::closed(CHAT, 10_000),
    ]),
};

pub(super) const GROWTH_TENANTS: Scenario = Scenario {
    name: "growth-tenants",
    about: "the same requests on the bus, of more and more tenants",
    kind: Kind::Calls(&[of(1), of(10), of(100), of(1_000), of(5_000)]),
};

pub(super) const GROWTH_TENANTS_HTTP: Scenario = Scenario {
    name: "growth-tenants-http",
    about: "chats over HTTP by an operator's key, for more and more tenants",
    kind: Kind::Calls(&[chat_for(1), chat_for(10), chat_for(100), chat_for(1_000), chat_for(5_000)]),
};

pub(super) const BACKLOG: Scenario = Scenario {
    name: "backlog",
    about: "many requests published as fast as the broker takes them, until the last outcome",
    kind: Kind::Backlog,
};

pub(super) const GROWTH_OUTCOMES: Scenario = Scenario {
    name: "growth-outcomes",
    about: "the same requests on the bus, while more and more outcomes of others are kept",
    kind: Kind::Retained(&[0, 100_000, 1_000_000], of(1)),
};
