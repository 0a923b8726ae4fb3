//! Scenarios with WebSockets.

use crate::bench::scenario::{Case, Kind, Scenario, Work};

const CHAT: Work = Work::Socket { chunks: 50 };

pub(super) const SOCKET_CHAT: Scenario = Scenario {
    name: "socket-chat",
    about: "a streamed chat of 50 chunks on a WebSocket of its own",
    kind: Kind::Calls(&[Case::closed(CHAT, 1), Case::closed(CHAT, 64)]),
};

pub(super) const SOCKETS: Scenario = Scenario {
    name: "sockets",
    about: "WebSockets on which nothing is said: what each takes of the memory",
    kind: Kind::Sockets(&[1, 100, 1_000, 10_000]),
};
