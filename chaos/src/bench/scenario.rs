//! What a scenario is: data. Which requests, how many at once or how many a second, and nothing about how they are sent.

use std::{fmt, time::Duration};

/// One thing that is measured.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name, by which it is asked for.
    pub name: &'static str,
    /// What it measures, in a sentence.
    pub about: &'static str,
    /// How.
    pub kind: Kind,
}

/// How it is measured.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Requests are answered for a while, under one load after the other.
    Calls(&'static [Case]),
    /// WebSockets are opened and left alone: so many, one after the other.
    Sockets(&'static [u32]),
    /// Requests are published as fast as the broker takes them, and worked off.
    Backlog,
    /// So many outcomes are kept already, one number after the other, while requests are answered.
    Retained(&'static [u32], Case),
    /// The engine is started, as often as there are rounds.
    Start,
    /// One load, for long; see what becomes of the memory.
    Soak(Case),
}

/// Requests of one kind under one load.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What is asked.
    pub work: Work,
    /// How often.
    pub load: Load,
}

/// What is asked, and how its provider answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A chat that is not streamed; the provider takes so long.
    Chat {
        /// Until its answer, in milliseconds.
        delay_ms: u32,
    },
    /// The same, of a provider that answers at once, by an operator's key for others.
    ChatFor {
        /// Requests belong to so many tenants in turn.
        tenants: u32,
    },
    /// A streamed chat.
    Stream {
        /// Until the first chunk, in milliseconds.
        first_ms: u32,
        /// How many chunks.
        chunks: u32,
        /// Between two, in milliseconds.
        gap_ms: u32,
    },
    /// Vectors of 1,536 numbers.
    Embeddings {
        /// How many texts a request.
        batch: u32,
    },
    /// A chat that is published on the bus, to its outcome there.
    Publish {
        /// Requests belong to so many tenants in turn.
        tenants: u32,
    },
    /// A chat on a WebSocket, one at a time on each, streamed.
    Socket {
        /// How many chunks.
        chunks: u32,
    },
}

/// How often it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// So many are under way at once: the next is sent when one is answered. It tells what can be done at most.
    Closed(u32),
    /// So many are sent a second, whatever becomes of those before. It tells how long users wait.
    Open(u32),
}

impl Case {
    /// So many at once.
    pub(super) const fn closed(work: Work, at_once: u32) -> Self {
        Self { work, load: Load::Closed(at_once) }
    }

    /// So many a second.
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
    /// The name of a model of the simulated provider that answers so.
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

    /// How many chunks an answer has; 0 where it is whole.
    #[must_use]
    pub const fn chunks(self) -> u32 {
        match self {
            Self::Stream { chunks, .. } | Self::Socket { chunks } => chunks,
            Self::Chat { .. } | Self::ChatFor { .. } | Self::Embeddings { .. } | Self::Publish { .. } => 0,
        }
    }

    /// How long its provider takes, all in all.
    #[must_use]
    pub fn takes(self) -> Duration {
        let ms = match self {
            Self::Chat { delay_ms } => delay_ms,
            Self::Stream { first_ms, chunks, gap_ms } => first_ms + chunks * gap_ms,
            Self::ChatFor { .. } | Self::Embeddings { .. } | Self::Publish { .. } | Self::Socket { .. } => 0,
        };
        Duration::from_millis(ms.into())
    }

    /// Whether it goes over the bus, which a broker in the engine's own memory has not.
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
    /// Everything that is asked in it.
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
