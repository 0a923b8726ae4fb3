//! The fault classes of a memory broker, by name: a nemesis draws from them, switches them on and off, and counts them.

use std::{fmt, time::Duration};

/// A class of faults. Each is off at first, and counts how often it made a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultClass {
    /// Streams refuse messages as full; live subscribers hear them all the same. Counts refusals.
    Full,
    /// Messages are lost on their way to the broker. Counts messages.
    Lose,
    /// Messages are stored, but their acks are lost. Counts acks.
    LoseAck,
    /// Publish acks come late. Counts acks.
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
    /// The connections are cut: the broker loses nothing, and time goes on there. Counts cuts.
    Disconnect,
    /// The broker's process is killed, and starts again when this is switched off. Streams and buckets in memory are
    /// then empty; those in files are whole, but know only the ids of the messages they still hold. If
    /// [`super::Options`] has a sync interval, consumers have forgotten the leases and settlements of the last 10 ms: a
    /// message then comes again at once, with the same delivery count. Counts kills.
    Restart,
    /// The power fails, and is back when this is switched off. As a restart, and streams and buckets in files are as
    /// they were at the last sync: messages stored since are gone although they were acknowledged, messages removed
    /// since are back, and sequences are used again. Each stream or bucket is hit with the probability of the
    /// [`Reach`]. Counts what is gone or back.
    PowerFailure,
    /// The broker is frozen: nothing answers, and what was sent meanwhile arrives, in order, when this is switched off.
    /// The link stays up: a real client takes it down after three pings, about 15 s. Counts operations that met it.
    Freeze,
    /// Streams, consumers and buckets are off, as on a server whose disk is full: operations fail as `Disconnected`.
    /// Live messages go on. Counts refusals.
    Disable,
    /// Subscriptions hold only [`Reach::queue_max`] messages; those that do not fit are lost silently. Counts messages.
    Overflow,
    /// All current leases run out at once, so that a second worker begins while the first still works. Counts leases.
    Lapse,
    /// Streams forget the ids that they know, as after their window. Counts ids.
    ForgetIds,
    /// Consumers are deleted, unless they are off. The next pull re-creates them: leases are forgotten, and deliveries
    /// count from 1. Counts consumers.
    DeleteConsumer,
    /// Streams are deleted, with messages and consumers. The next publish, read or pull re-creates the stream, empty;
    /// messages that are only sent meanwhile are not kept. Counts streams.
    DeleteStream,
}

/// What a fault class strikes, and how. Each class uses only the fields that mean something for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reach {
    /// Messages on subjects of this pattern; consumers, streams and subscriptions that may take such a message.
    pub pattern: String,
    /// Strikes each time with this probability only, from 0 to 1.
    pub probability: f64,
    /// The delay of what comes late, or its maximum.
    pub delay: Duration,
    /// The most messages that wait for one subscriber.
    pub queue_max: usize,
}

impl Default for Reach {
    /// Everything, always, with a delay of a second and room for 16 messages.
    fn default() -> Self {
        Self { pattern: ">".to_owned(), probability: 1.0, delay: Duration::from_secs(1), queue_max: 16 }
    }
}

impl FaultClass {
    /// All classes, in a fixed order: add new ones at the end, so that draws from a seed stay the same.
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

    /// Whether the class lasts until it is switched off. The others strike once, when they are switched on.
    pub const fn lasts(self) -> bool {
        !matches!(self, Self::Lapse | Self::ForgetIds | Self::DeleteConsumer | Self::DeleteStream)
    }
}

impl fmt::Display for FaultClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
