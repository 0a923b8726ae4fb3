//! A scenario, as data: which requests, and how many at once or per second, but not how they are sent.

use std::{fmt, time::Duration};

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it measures, in a sentence.
    pub about: &'static str,
    /// Its kind.
    pub kind: Kind,
}

/// How to measure.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Send requests for a while, under one load after the other.
    Calls(&'static [Case]),
    /// Open WebSockets and leave them idle: each of these counts in turn.
    Sockets(&'static [u32]),
    /// Publish requests as fast as the broker takes them, and let the engine work them off.
    Backlog,
    /// Answer requests with this many outcomes already kept: each of these counts in turn.
    Retained(&'static [u32], Case),
    /// Start the engine, once per round.
    Start,
    /// Run one load for long, and watch the memory.
    Soak(Case),
}

/// Requests of one kind under one load.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The request.
    pub work: Work,
    /// The load.
    pub load: Load,
}

/// A request, and how its provider answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A chat that is not streamed.
    Chat {
        /// How long the provider takes, in milliseconds.
        delay_ms: u32,
    },
    /// A chat that the provider answers at once, sent with an operator's key on behalf of others.
    ChatFor {
        /// How many tenants the requests belong to, in turn.
        tenants: u32,
    },
    /// A streamed chat.
    Stream {
        /// The time to the first chunk, in milliseconds.
        first_ms: u32,
        /// How many chunks.
        chunks: u32,
        /// Between two chunks, in milliseconds.
        gap_ms: u32,
    },
    /// Vectors of 1,536 numbers.
    Embeddings {
        /// How many texts per request.
        batch: u32,
    },
    /// A chat published on the bus, until its outcome there.
    Publish {
        /// How many tenants the requests belong to, in turn.
        tenants: u32,
    },
    /// A streamed chat on a WebSocket, one at a time per socket.
    Socket {
        /// How many chunks.
        chunks: u32,
    },
}

/// How often to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// This many at once: the next is sent when one is answered. Shows the highest throughput.
    Closed(u32),
    /// This many per second, whatever becomes of earlier ones. Shows how long users wait.
    Open(u32),
}

impl Case {
    /// This many at once.
    pub(super) const fn closed(work: Work, at_once: u32) -> Self {
        Self { work, load: Load::Closed(at_once) }
    }

    /// This many per second.
    pub(super) const fn open(work: Work, rate: u32) -> Self {
        Self { work, load: Load::Open(rate) }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.load {
            Load::Closed(1) => write!(f, "1 at once")?,
            Load::Closed(at_once) => write!(f, "{at_once} at once")?,
            Load::Open(rate) => write!(f, "{rate} a second")?,
        }
        match self.work {
            Work::Publish { tenants } | Work::ChatFor { tenants } if tenants > 1 => {
                write!(f, ", {tenants} tenants")
            }
            Work::Embeddings { batch } if batch > 1 => write!(f, ", {batch} texts"),
            _ => Ok(()),
        }
    }
}

impl Work {
    /// The name of the simulated provider's model that answers like this.
    #[must_use]
    pub fn model(self) -> String {
        match self {
            Self::Chat { delay_ms } => format!("chat-{delay_ms}"),
            Self::Stream { first_ms, chunks, gap_ms } => format!("stream-{first_ms}-{chunks}-{gap_ms}"),
            Self::Embeddings { batch } => format!("embed-{batch}"),
            Self::Publish { .. } | Self::ChatFor { .. } => "chat-0".to_owned(),
            Self::Socket { chunks } => format!("stream-0-{chunks}-0"),
        }
    }

    /// How many chunks an answer has; 0 if it is not streamed.
    #[must_use]
    pub const fn chunks(self) -> u32 {
        match self {
            Self::Stream { chunks, .. } | Self::Socket { chunks } => chunks,
            Self::Chat { .. } | Self::ChatFor { .. } | Self::Embeddings { .. } | Self::Publish { .. } => 0,
        }
    }

    /// How long its provider takes in total.
    #[must_use]
    pub fn takes(self) -> Duration {
        let ms = match self {
            Self::Chat { delay_ms } => delay_ms,
            Self::Stream { first_ms, chunks, gap_ms } => first_ms + chunks * gap_ms,
            Self::ChatFor { .. } | Self::Embeddings { .. } | Self::Publish { .. } | Self::Socket { .. } => 0,
        };
        Duration::from_millis(ms.into())
    }

    /// Whether it goes over the bus, which a broker in the engine's own memory does not have.
    #[must_use]
    pub const fn needs_bus(self) -> bool {
        matches!(self, Self::Publish { .. })
    }

    /// Whether any server that speaks OpenAI's API can answer it.
    #[must_use]
    pub const fn is_openai(self) -> bool {
        matches!(self, Self::Chat { .. } | Self::Stream { .. } | Self::Embeddings { .. })
    }
}

impl Scenario {
    /// All requests of the scenario.
    pub(super) fn works(&self) -> Vec<Work> {
        match self.kind {
            Kind::Calls(cases) => cases.iter().map(|case| case.work).collect(),
            Kind::Soak(case) | Kind::Retained(_, case) => vec![case.work],
            Kind::Backlog => vec![Work::Publish { tenants: 1 }],
            Kind::Sockets(_) | Kind::Start => vec![Work::Chat { delay_ms: 0 }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_says_its_load() {
        let work = Work::Chat { delay_ms: 0 };
        assert_eq!(Case::closed(work, 64).to_string(), "64 at once");
        assert_eq!(Case::open(work, 200).to_string(), "200 a second");
        let tenants = Case::closed(Work::Publish { tenants: 10 }, 64);
        assert_eq!(tenants.to_string(), "64 at once, 10 tenants");
    }
}
