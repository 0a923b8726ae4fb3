//! The classes of faults that a memory broker knows, by name: what a nemesis draws from, switches on and off, and counts.

use std::{fmt, time::Duration};

/// A class of faults. Each is off at first, and counts how often it made a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultClass {
    /// Streams refuse messages as full; who listens live hears them all the same. Counts refusals.
    Full,
    /// Messages are lost on their way to the broker. Counts messages.
    Lose,
    /// Messages are stored, and their acknowledgement is lost. Counts acknowledgements.
    LoseAck,
    /// Acknowledgements of a publish come late. Counts acknowledgements.
    SlowAck,
    /// Deliveries come late. Counts deliveries.
    Delay,
    /// Deliveries overtake those on other subjects, never one on their own. Counts deliveries.
    Shuffle,
    /// Deliveries are lost. Counts deliveries.
    Drop,
    /// Deliveries come twice, the second while the first is worked on. Counts deliveries.
    Duplicate,
    /// Settlements are lost on their way to the broker. Counts settlements.
    LoseSettlement,
    /// Settlements come late, perhaps after their lease has passed to another. Counts settlements.
    LateSettlement,
    /// The connections are cut: nothing is lost at the broker, and time goes on there. Counts cuts.
    Disconnect,
    /// The broker's process is killed, and starts again when this is switched off. Streams and buckets in memory are
    /// empty then; those in files are whole, but know only the ids of what they still hold. Where [`super::Options`] has a
    /// sync interval, consumers have forgotten the leases and settlements of the last 10 ms: a message then comes again at
    /// once, with the same number of deliveries. Counts kills.
    Restart,
    /// The power fails, and is back when this is switched off. As a restart, and streams and buckets in files are as they
    /// were at the last sync: what was stored since is gone although it was acknowledged, what was removed is back, and
    /// sequences are used again. Each stream or bucket meets it by the probability of the [`Reach`]. Counts what was
    /// gone or back.
    PowerFailure,
    /// The broker is frozen: nothing answers, and what was sent meanwhile arrives, in order, when this is switched off.
    /// The link stays up: a real client takes it down after three pings, about 15 s. Counts operations that met it.
    Freeze,
    /// Streams, consumers and buckets are off, as on a server whose disk is full: refused as `Disconnected`. Live messages
    /// go on. Counts refusals.
    Disable,
    /// Subscriptions hold only [`Reach::queue_max`] messages. What does not fit is lost, and nobody is told. Counts messages.
    Overflow,
    /// The leases that are out run out at once, so that a second worker begins while the first still works. Counts leases.
    Lapse,
    /// Streams forget the ids that they know, as after their window. Counts ids.
    ForgetIds,
    /// Consumers are deleted, unless they are off. Whoever pulls makes them anew: leases are forgotten, and deliveries count
    /// from 1. Counts consumers.
    DeleteConsumer,
    /// Streams are deleted, with messages and consumers. Whoever publishes to, reads or pulls from one makes it anew,
    /// empty; what is only sent meanwhile is not kept. Counts streams.
    DeleteStream,
}

/// What a fault class strikes, and how. Each class looks only at what means something for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reach {
    /// Messages on subjects of this pattern; consumers, streams and subscriptions that may take such a message.
    pub pattern: String,
    /// Each time only with this probability, from 0 to 1.
    pub probability: f64,
    /// How late what comes late is, or at most.
    pub delay: Duration,
    /// The most messages that wait for one subscriber.
    pub queue_max: usize,
}

impl Default for Reach {
    /// Everything, always, by a second, and room for 16 messages.
    fn default() -> Self {
        Self { pattern: ">".to_owned(), probability: 1.0, delay: Duration::from_secs(1), queue_max: 16 }
    }
}

impl FaultClass {
    /// All of them, in a fixed order: add at the end, so that what was drawn from a seed stays.
    pub const ALL: [Self; 20] = [
        Self::Full,
        Self::Lose,
        Self::LoseAck,
        Self::SlowAck,
        Self::Delay,
        Self::Shuffle,
        Self::Drop,
        Self::Duplicate,
        Self::LoseSettlement,
        Self::LateSettlement,
        Self::Disconnect,
        Self::Restart,
        Self::PowerFailure,
        Self::Freeze,
        Self::Disable,
        Self::Overflow,
        Self::Lapse,
        Self::ForgetIds,
        Self::DeleteConsumer,
        Self::DeleteStream,
    ];

    /// Its name in plans and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Lose => "lose",
            Self::LoseAck => "lose-ack",
            Self::SlowAck => "slow-ack",
            Self::Delay => "delay",
            Self::Shuffle => "shuffle",
            Self::Drop => "drop",
            Self::Duplicate => "duplicate",
            Self::LoseSettlement => "lose-settlement",
            Self::LateSettlement => "late-settlement",
            Self::Disconnect => "disconnect",
            Self::Restart => "restart",
            Self::PowerFailure => "power-failure",
            Self::Freeze => "freeze",
            Self::Disable => "disable",
            Self::Overflow => "overflow",
            Self::Lapse => "lapse",
            Self::ForgetIds => "forget-ids",
            Self::DeleteConsumer => "delete-consumer",
            Self::DeleteStream => "delete-stream",
        }
    }

    /// The class of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Whether it lasts until it is switched off. The others strike once, when they are switched on.
    pub const fn lasts(self) -> bool {
        !matches!(self, Self::Lapse | Self::ForgetIds | Self::DeleteConsumer | Self::DeleteStream)
    }
}

impl fmt::Display for FaultClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
