//! What goes wrong, when, and where: a list drawn before the run, so that it can be shrunk and replayed.
//!
//! Swarm style: for each seed each class of faults is on or off, with a rate of its own; between the strikes are windows
//! of calm.

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde::{Deserialize, Serialize};

use super::scenario::Setup;
use crate::workload::Workload;

/// The most strikes of one class.
const STRIKES_MAX: u32 = 4;
/// The longest strike.
const LONG_MS_MAX: u64 = 20_000;
/// The longest of those that are short.
const SHORT_MS_MAX: u64 = 800;
/// A strike that aims at a request begins at most so long after it was sent.
const AIM_MS_MAX: u64 = 3_000;
/// The farthest jump of a wall clock.
const JUMP_MS_MAX: i64 = 90_000;
/// The share of the time in which nothing begins.
const CALM: f64 = 0.25;

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
        /// The length of what takes longer, in milliseconds.
        delay_ms: u64,
    },
    /// The broker itself is struck.
    Upset {
        /// How.
        upset: Upset,
        /// The subjects, where it has some: the kind of the contract.
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
    /// A node is asked to drain and to go; it comes back at the end of the strike.
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
    /// What is published is lost.
    Lose,
    /// It is stored, and the acknowledgement is lost.
    LoseAck,
    /// It is stored, and the acknowledgement comes late.
    SlowAck,
    /// It is delivered late.
    Delay,
    /// It is delivered late, and other subjects overtake it.
    Shuffle,
    /// One delivery is lost.
    Drop,
    /// One delivery comes twice.
    Duplicate,
    /// A settlement is lost.
    LoseSettlement,
    /// A settlement comes late, perhaps after its lease has passed to another.
    LateSettlement,
}

/// How the broker itself is struck: the classes of [`broker::memory::FaultClass`] that are of no single message, but for
/// those that lose what was stored: that is the disk's part of the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upset {
    /// It is killed, and comes back: what it held in memory is gone.
    Restart,
    /// It stands still, and its connections stay open.
    Freeze,
    /// Its streams are off, as on a full disk.
    Disable,
    /// Subscribers have little room, and lose what does not fit.
    Overflow,
    /// All leases that are out run out at once.
    Lapse,
    /// It forgets the ids by which it tells repeats.
    ForgetIds,
    /// Consumers are deleted.
    DeleteConsumer,
}

impl Upset {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Restart,
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
    /// Headers, and nothing more.
    StallsAtFirst,
    /// Some tokens, and nothing more.
    StallsLater,
    /// One token in a long while, but always before the silence is too long.
    Drips,
    /// Some tokens, and the connection is reset.
    Breaks,
    /// Some tokens, and the stream ends as if it were whole.
    EndsEarly,
    /// Some tokens, and nonsense.
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
    /// The name of its class, by which it is counted.
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
    /// Strikes for a load of `span_ms`.
    pub fn draw(random: &mut StdRng, setup: &Setup, workload: &Workload, span_ms: u64) -> Self {
        let calm = random.random_range(0.0..1.0 - CALM);
        let calm = (calm * span_ms as f64) as u64..((calm + CALM) * span_ms as f64) as u64;
        let mut strikes = Vec::new();
        for make in MAKERS {
            // Off for half of the seeds, so that faults meet alone and in every company.
            if random.random_bool(0.5) {
                continue;
            }
            for _ in 0..random.random_range(1..=STRIKES_MAX) {
                let fault = make(random, setup);
                let at_ms = moment(random, workload, span_ms);
                // Short ones hit one step of a request, long ones a whole request and its redelivery.
                let longest = if random.random_bool(0.3) { SHORT_MS_MAX } else { LONG_MS_MAX };
                let for_ms = random.random_range(1..=longest);
                if !calm.contains(&at_ms) {
                    strikes.push(Strike { at_ms, for_ms, fault });
                }
            }
        }
        strikes.sort_by_key(|strike| strike.at_ms);
        Self { strikes }
    }

    /// When the last strike is over.
    pub fn last_at_ms(&self) -> u64 {
        self.strikes.iter().map(|strike| strike.at_ms + strike.for_ms).max().unwrap_or_default()
    }
}

/// Often while a request is under way, otherwise at any time.
fn moment(random: &mut StdRng, workload: &Workload, span_ms: u64) -> u64 {
    match workload.requests.choose(random) {
        Some(planned) if random.random_bool(0.6) => planned.at_ms + random.random_range(0..AIM_MS_MAX),
        _ => random.random_range(0..=span_ms),
    }
}

/// One maker for each class that is switched on or off as a whole.
const MAKERS: [fn(&mut StdRng, &Setup) -> Fault; 14] = [
    |random, _| broker(random),
    |random, _| broker(random),
    |random, _| broker(random),
    |random, _| upset(random),
    |random, _| upset(random),
    |_, _| Fault::LinkDown,
    |random, setup| Fault::NodeCut { node: node(random, setup) },
    |random, setup| Fault::Kill { node: node(random, setup) },
    |random, setup| Fault::Drain { node: node(random, setup) },
    |random, _| provider(random),
    |random, _| provider(random),
    |random, _| Fault::Target {
        mood: *TargetMood::ALL.choose(random).unwrap_or(&TargetMood::Down),
        probability: random.random_range(0.2..1.0),
    },
    |_, _| Fault::ClientsCut,
    // Engines measure deadlines against the time at which the broker stored a request, so only doors are drawn.
    |random, setup| Fault::ClockJump {
        node: Node::Gateway(random.random_range(0..setup.gateways.len().max(1))),
        by_ms: random.random_range(-JUMP_MS_MAX..=JUMP_MS_MAX),
    },
];

/// What can go wrong with the messages of a kind so that it makes a difference. A stream of outcomes that is full forgets
/// the oldest, by design, so it is never told to be full without being it.
const TROUBLES: [(&str, &[Trouble]); 8] = [
    ("req", &Trouble::ALL),
    ("work", &Trouble::ALL),
    ("evt", &[Trouble::Lose, Trouble::Delay, Trouble::Shuffle, Trouble::Drop, Trouble::Duplicate]),
    ("res", &[Trouble::Lose, Trouble::LoseAck, Trouble::SlowAck]),
    ("cb", &Trouble::ALL),
    (
        "ctl",
        &[Trouble::Lose, Trouble::LoseAck, Trouble::SlowAck, Trouble::Drop, Trouble::Delay, Trouble::Full],
    ),
    ("dead", &[Trouble::Lose, Trouble::LoseAck, Trouble::SlowAck, Trouble::Full]),
    ("hb", &[Trouble::Drop, Trouble::Delay, Trouble::Duplicate]),
];

fn broker(random: &mut StdRng) -> Fault {
    let (kind, troubles) = TROUBLES.choose(random).copied().unwrap_or(TROUBLES[0]);
    Fault::Broker {
        trouble: *troubles.choose(random).unwrap_or(&Trouble::Lose),
        kind: kind.into(),
        probability: random.random_range(0.05..1.0),
        delay_ms: random.random_range(1..8_000),
    }
}

fn upset(random: &mut StdRng) -> Fault {
    let upset = *Upset::ALL.choose(random).unwrap_or(&Upset::Restart);
    let kinds: &[&str] = match upset {
        Upset::Overflow => &["evt", "hb", "ctl"],
        _ => &["req", "work", "evt", "cb"],
    };
    Fault::Upset { upset, kind: (*kinds.choose(random).unwrap_or(&"req")).into() }
}

fn provider(random: &mut StdRng) -> Fault {
    Fault::Provider {
        provider: if random.random_bool(0.3) { "beta" } else { "alpha" }.into(),
        mood: *Mood::ALL.choose(random).unwrap_or(&Mood::Fails),
        probability: random.random_range(0.1..1.0),
    }
}

fn node(random: &mut StdRng, setup: &Setup) -> Node {
    match random.random_range(0..3) {
        0 => Node::Gateway(random.random_range(0..setup.gateways.len().max(1))),
        _ => Node::Engine(random.random_range(0..setup.engines.max(1))),
    }
}
