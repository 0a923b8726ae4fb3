//! Scenarios with chats that are not streamed.

use crate::bench::scenario::{Case, Kind, Scenario, Work};

/// The provider answers at once: what remains is the cost of the engine.
const AT_ONCE: Work = Work::Chat { delay_ms: 0 };
/// The provider thinks for as long as a fast one does.
const THINKING: Work = Work::Chat { delay_ms: 60 };

pub(super) const CHAT: Scenario = Scenario {
    name: "chat",
    about: "a chat over HTTP, not streamed, whose provider answers at once",
    kind: Kind::Calls(&[Case::closed(AT_ONCE, 1), Case::closed(AT_ONCE, 64), Case::closed(AT_ONCE, 512)]),
};

pub(super) const QUICK: Scenario =
    Scenario { kind: Kind::Calls(&[Case::closed(AT_ONCE, 1), Case::closed(AT_ONCE, 64)]), ..CHAT };

pub(super) const CHAT_60MS: Scenario = Scenario {
    name: "chat-60ms",
    about: "a chat over HTTP, not streamed, whose provider takes 60 ms",
    kind: Kind::Calls(&[
        Case::open(THINKING, 200),
        Case::open(THINKING, 1_000),
        Case::closed(THINKING, 1),
        Case::closed(THINKING, 64),
        Case::closed(THINKING, 512),
    ]),
};

pub(super) const QUICK_60MS: Scenario =
    Scenario { kind: Kind::Calls(&[Case::open(THINKING, 200)]), ..CHAT_60MS };
