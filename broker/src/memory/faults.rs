//! Injected faults: what goes wrong, with which messages, how often. Drawn from the broker's seeded randomness.

use std::{fmt, sync::Arc, time::Duration};

use super::{class::FaultClass, log::Reader};
use crate::subject::Pattern;
use crate::{Error, ErrorKind, Message, Seams};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The broker refuses the message with this kind of error, or silently if it is a `send`. If the kind is `Full`,
    /// subscribers hear the message all the same, because then only the stream refuses.
    Refuse(ErrorKind),
    /// The message is lost on its way to the broker: `publish` fails with `Timeout`, `send` reports nothing.
    Lose,
    /// The message is stored, but its ack is lost: `publish` fails with `Timeout`.
    LoseAck,
    /// The message is stored, but its ack comes this much later.
    SlowAck(Duration),
    /// Delivery takes this much longer. Within one subject the order stays.
    Delay(Duration),
    /// Delivery takes longer by a random part of this: subjects overtake each other, but within one the order stays.
    Shuffle(Duration),
    /// One delivery is lost: a subscriber never sees the message, a consumer sees it when its lease has run out.
    Drop,
    /// One delivery comes twice, whatever happens to the first.
    Duplicate,
    /// A settlement is lost on its way to the broker. An ack or a give-back reports success; a renewal or a rejection
    /// waits for the broker and fails with `Timeout`.
    LoseSettlement,
    /// A settlement comes this much later, and so do all that follow on its subject.
    LateSettlement(Duration),
}

/// Where on a message's way a fault strikes. At most one fault strikes at each place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Publish,
    Transit,
    Delivery,
    Settlement,
}

/// A fault, and whom it strikes. If several rules could strike, the one that was added first does.
#[derive(Clone)]
pub struct Rule {
    fault: Fault,
    pattern: String,
    reader: Option<String>,
    predicate: Option<Predicate>,
    times_max: u64,
    probability: f64,
}

type Predicate = Arc<dyn Fn(&Message) -> bool + Send + Sync>;

/// Names a rule that was added to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleId(usize);

impl Rule {
    /// `fault` strikes every message on a subject of `pattern`.
    pub fn new(fault: Fault, pattern: impl Into<String>) -> Self {
        let pattern = pattern.into();
        Self { fault, pattern, reader: None, predicate: None, times_max: u64::MAX, probability: 1.0 }
    }

    /// Only on the way to (or, for settlements, from) this reader: see [`Reader::is`].
    pub fn reader(mut self, reader: impl Into<String>) -> Self {
        self.reader = Some(reader.into());
        self
    }

    /// Only messages for which `predicate` holds.
    pub fn when(mut self, predicate: impl Fn(&Message) -> bool + Send + Sync + 'static) -> Self {
        self.predicate = Some(Arc::new(predicate));
        self
    }

    /// At most this many times.
    pub const fn times(mut self, times_max: u64) -> Self {
        self.times_max = times_max;
        self
    }

    /// Each time only with this probability, from 0 to 1.
    pub const fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }
}

impl Fault {
    const fn place(self) -> Place {
        match self {
            Self::Refuse(_) | Self::Lose | Self::LoseAck | Self::SlowAck(_) => Place::Publish,
            Self::Delay(_) | Self::Shuffle(_) => Place::Transit,
            Self::Drop | Self::Duplicate => Place::Delivery,
            Self::LoseSettlement | Self::LateSettlement(_) => Place::Settlement,
        }
    }

    const fn class(self) -> Option<FaultClass> {
        Some(match self {
            Self::Refuse(ErrorKind::Full) => FaultClass::Full,
            Self::Refuse(_) => return None,
            Self::Lose => FaultClass::Lose,
            Self::LoseAck => FaultClass::LoseAck,
            Self::SlowAck(_) => FaultClass::SlowAck,
            Self::Delay(_) => FaultClass::Delay,
            Self::Shuffle(_) => FaultClass::Shuffle,
            Self::Drop => FaultClass::Drop,
            Self::Duplicate => FaultClass::Duplicate,
            Self::LoseSettlement => FaultClass::LoseSettlement,
            Self::LateSettlement(_) => FaultClass::LateSettlement,
        })
    }
}

/// The rules of one broker.
#[derive(Debug)]
pub(super) struct Faults {
    active: Vec<Active>,
    fired: Vec<u64>,
    by_class: [u64; FaultClass::ALL.len()],
    seams: Seams,
}

#[derive(Debug)]
struct Active {
    id: RuleId,
    rule: Rule,
    pattern: Pattern,
}

impl Faults {
    /// No faults.
    pub(super) const fn new(seams: Seams) -> Self {
        Self { active: Vec::new(), fired: Vec::new(), by_class: [0; FaultClass::ALL.len()], seams }
    }

    /// Adds a rule.
    pub(super) fn add(&mut self, rule: Rule) -> Result<RuleId, Error> {
        let pattern = Pattern::parse(&rule.pattern).ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("fault on `{}`: not a pattern", rule.pattern))
        })?;
        let id = RuleId(self.fired.len());
        self.fired.push(0);
        self.active.push(Active { id, rule, pattern });
        Ok(id)
    }

    /// Removes one rule, or all.
    pub(super) fn heal(&mut self, id: Option<RuleId>) {
        self.active.retain(|active| id.is_some_and(|id| active.id != id));
    }

    /// How often a rule has struck.
    pub(super) fn fired(&self, id: RuleId) -> u64 {
        self.fired.get(id.0).copied().unwrap_or_default()
    }

    /// How often a class has made a difference.
    pub(super) const fn fired_of(&self, class: FaultClass) -> u64 {
        self.by_class[class as usize]
    }

    /// Counts that a class has made a difference once.
    pub(super) const fn struck(&mut self, class: FaultClass) {
        self.struck_by(class, 1);
    }

    /// Counts that a class has made a difference this many times.
    pub(super) const fn struck_by(&mut self, class: FaultClass, times: u64) {
        self.by_class[class as usize] += times;
    }

    /// Whether something of this probability happens now.
    pub(super) fn chance(&self, probability: f64) -> bool {
        probability >= 1.0 || self.seams.fraction() < probability
    }

    /// The fault, if any, that strikes `message` at `place`.
    pub(super) fn strike(
        &mut self,
        place: Place,
        message: &Message,
        reader: Option<&Reader>,
    ) -> Option<Fault> {
        for active in &self.active {
            let Active { id, rule, pattern } = active;
            if rule.fault.place() == place
                && self.fired[id.0] < rule.times_max
                && pattern.matches(&message.subject)
                && rule.reader.as_ref().is_none_or(|name| reader.is_some_and(|reader| reader.is(name)))
                && rule.predicate.as_ref().is_none_or(|holds| holds(message))
                && (rule.probability >= 1.0 || self.seams.fraction() < rule.probability)
            {
                self.fired[id.0] += 1;
                let fault = rule.fault;
                if let Some(class) = fault.class() {
                    self.struck(class);
                }
                return Some(fault);
            }
        }
        None
    }

    /// How much a fault delays `message` on its way to `reader`.
    pub(super) fn delay(&mut self, message: &Message, reader: &Reader) -> Option<Duration> {
        match self.strike(Place::Transit, message, Some(reader))? {
            Fault::Shuffle(most) => Some(most.mul_f64(self.seams.fraction())),
            Fault::Delay(delay) => Some(delay),
            _ => None,
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("fault", &self.fault)
            .field("pattern", &self.pattern)
            .field("reader", &self.reader)
            .field("times_max", &self.times_max)
            .field("probability", &self.probability)
            .finish_non_exhaustive()
    }
}
