//! What goes wrong, when, and where: a list drawn before the run, so that it can be shrunk and replayed.

mod draw;

use serde::{Deserialize, Serialize};

/// The faults of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// In the order of their times.
    pub strikes: Vec<Strike>,
}

/// One fault, from its beginning to its healing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Strike {
    /// When it begins, in milliseconds from the beginning of the load.
    pub at_ms: u64,
    /// How long it lasts.
    pub for_ms: u64,
    /// What it is.
    pub fault: Fault,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "class", rename_all = "snake_case")]
pub enum Fault {
    /// The broker misbehaves with the messages on some subjects.
    Broker {
        /// How.
        trouble: Trouble,
        /// The subjects: the kind of the contract (`req`, `work`, `evt`, …).
        kind: String,
        /// How often, from 0 to 1.
        probability: f64,
        /// The delay of what comes later, in milliseconds.
        delay_ms: u64,
    },
    /// The broker itself is struck.
    Upset {
        /// How.
        upset: Upset,
        /// The subjects, if it has some: the kind of the contract.
        kind: String,
    },
    /// Nobody reaches the broker.
    LinkDown,
    /// One node does not reach the broker.
    NodeCut {
        /// Which.
        node: Node,
    },
    /// A node dies at once; it comes back at the end of the strike.
    Kill {
        /// Which.
        node: Node,
    },
    /// A node is told to drain and to exit; it comes back at the end of the strike.
    Drain {
        /// Which.
        node: Node,
    },
    /// A provider misbehaves.
    Provider {
        /// Which.
        provider: String,
        /// How.
        mood: Mood,
        /// How often, from 0 to 1.
        probability: f64,
    },
    /// Targets of callbacks misbehave.
    Target {
        /// How.
        mood: TargetMood,
        /// How often, from 0 to 1.
        probability: f64,
    },
    /// All connections of clients are cut, once.
    ClientsCut,
    /// The wall clock of one node jumps, and back at the end of the strike.
    ClockJump {
        /// Which.
        node: Node,
        /// How far.
        by_ms: i64,
    },
}

/// A process of the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// An engine, by its number.
    Engine(usize),
    /// A gateway, by its number.
    Gateway(usize),
}

/// How the broker misbehaves: the faults of [`broker::memory::Fault`], as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// It refuses as full.
    Full,
    /// A published message is lost.
    Lose,
    /// The message is stored, and its ack is lost.
    LoseAck,
    /// The message is stored, and its ack comes late.
    SlowAck,
    /// The message is delivered late.
    Delay,
    /// The message is delivered late, and other subjects overtake it.
    Shuffle,
    /// One delivery is lost.
    Drop,
    /// One delivery comes twice.
    Duplicate,
    /// A settlement is lost.
    LoseSettlement,
    /// A settlement comes late, perhaps after another worker has the lease.
    LateSettlement,
}

/// How the broker itself is struck: the classes of [`broker::memory::FaultClass`] that concern no single message,
/// except the deletion of a stream, by which somebody throws away what was promised to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upset {
    /// It is killed, and comes back: what it held in memory is gone.
    Restart,
    /// Its power fails, and comes back: what it had acked and not synced is gone as well.
    PowerFailure,
    /// It stands still, and its connections stay open.
    Freeze,
    /// Its streams are off, as on a full disk.
    Disable,
    /// Subscribers have little room, and lose what does not fit.
    Overflow,
    /// All leases run out at once.
    Lapse,
    /// It forgets the ids by which it recognises repeats.
    ForgetIds,
    /// Consumers are deleted.
    DeleteConsumer,
}

impl Upset {
    /// Whether it keeps everybody from the broker meanwhile.
    pub const fn ends_connections(self) -> bool {
        matches!(self, Self::Restart | Self::PowerFailure)
    }

    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Restart,
        Self::PowerFailure,
        Self::Freeze,
        Self::Disable,
        Self::Overflow,
        Self::Lapse,
        Self::ForgetIds,
        Self::DeleteConsumer,
    ];
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 10] = [
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
    ];
}

/// How a provider misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mood {
    /// 429 that says when to return.
    Throttles,
    /// 429 that does not.
    ThrottlesSilently,
    /// 503.
    Fails,
    /// 400.
    Refuses,
    /// The key has no quota left.
    OutOfQuota,
    /// Headers, then nothing more.
    StallsAtFirst,
    /// Some tokens, then nothing more.
    StallsLater,
    /// A token once in a long while, but always before the silence is too long.
    Drips,
    /// Some tokens, then a reset of the connection.
    Breaks,
    /// Some tokens, then the stream ends as if it were whole.
    EndsEarly,
    /// Some tokens, then nonsense.
    Babbles,
    /// The worker that calls it dies.
    Kills,
}

impl Mood {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Throttles,
        Self::ThrottlesSilently,
        Self::Fails,
        Self::Refuses,
        Self::OutOfQuota,
        Self::StallsAtFirst,
        Self::StallsLater,
        Self::Drips,
        Self::Breaks,
        Self::EndsEarly,
        Self::Babbles,
        Self::Kills,
    ];
}

/// How a target of callbacks misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetMood {
    /// No connection.
    Down,
    /// It answers 500.
    Fails,
    /// It answers 503 and says when to return.
    Throttles,
    /// It takes the callback, and the answer comes too late.
    Slow,
    /// It answers 410: never again.
    Gone,
}

impl TargetMood {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Down, Self::Fails, Self::Throttles, Self::Slow, Self::Gone];
}

impl Fault {
    /// The name of its class, under which it is counted.
    pub fn class(&self) -> String {
        match self {
            Self::Broker { trouble, .. } => format!("broker {}", word(trouble)),
            Self::Upset { upset, .. } => format!("broker {}", word(upset)),
            Self::LinkDown => "link down".into(),
            Self::NodeCut { node } => format!("{} cut off", node.kind()),
            Self::Kill { node } => format!("{} killed", node.kind()),
            Self::Drain { node } => format!("{} drained", node.kind()),
            Self::Provider { mood, .. } => format!("provider {}", word(mood)),
            Self::Target { mood, .. } => format!("target {}", word(mood)),
            Self::ClientsCut => "clients cut".into(),
            Self::ClockJump { .. } => "clock jump".into(),
        }
    }

    /// What it strikes.
    pub fn target(&self) -> String {
        match self {
            Self::Broker { kind, .. } | Self::Upset { kind, .. } => format!("dynode.{kind}.>"),
            Self::LinkDown => "broker".into(),
            Self::NodeCut { node }
            | Self::Kill { node }
            | Self::Drain { node }
            | Self::ClockJump { node, .. } => node.to_string(),
            Self::Provider { provider, .. } => provider.clone(),
            Self::Target { .. } => "callbacks".into(),
            Self::ClientsCut => "clients".into(),
        }
    }
}

impl Node {
    const fn kind(self) -> &'static str {
        match self {
            Self::Engine(_) => "engine",
            Self::Gateway(_) => "gateway",
        }
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Engine(number) | Self::Gateway(number)) = self;
        write!(f, "{}-{number}", self.kind())
    }
}

/// The name of a plain variant, as serde writes it, with spaces.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().replace('_', " ")
}

impl Plan {
    /// When the last strike is over.
    pub fn last_at_ms(&self) -> u64 {
        self.strikes.iter().map(|strike| strike.at_ms + strike.for_ms).max().unwrap_or_default()
    }
}
