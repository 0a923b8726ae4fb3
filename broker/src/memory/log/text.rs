//! The log in words: one line per event, the same bytes for the same run.

use std::{fmt, time::Duration};

use super::{Cause, Entry, Event, Log, Name, Reader};
use crate::{Link, Settlement};

impl Log {
    /// One line per event, with the time since the broker was made. Equal runs have equal lines.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|Entry { at, event }| {
            let since = self.origin.map_or(Duration::ZERO, |origin| at.duration_since(origin));
            format!("{:>13.6} {event}", since.as_secs_f64())
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published(name) => write!(f, "published {name}"),
            Self::Repeated(name) => write!(f, "repeated {name}"),
            Self::Refused(name, kind) => write!(f, "refused {name}: {kind}"),
            Self::Lost(name) => write!(f, "lost {name}"),
            Self::AckLost(name) => write!(f, "ack lost {name}"),
            Self::Delivered(name, to) => write!(f, "delivered {name} to {to}"),
            Self::Redelivered(name, to, count) => write!(f, "delivered {name} to {to}, time {count}"),
            Self::Dropped(name, to, cause) => write!(f, "dropped {name} to {to}: {cause}"),
            Self::Duplicated(name, to) => write!(f, "duplicated {name} to {to}"),
            Self::Delayed(name, to, delay) => write!(f, "delayed {name} to {to} by {delay:?}"),
            Self::Settled(name, by, what) => write!(f, "{} {name} by {by}", word(what)),
            Self::SettlementLost(name, by, what) => write!(f, "lost: {} {name} by {by}", word(what)),
            Self::SettlementLate(name, by, what, delay) => {
                write!(f, "late by {delay:?}: {} {name} by {by}", word(what))
            }
            Self::Discarded(name) => write!(f, "discarded {name}"),
            Self::Unsynced(name) => write!(f, "unsynced {name}"),
            Self::Restored(name) => write!(f, "restored {name}"),
            Self::LeasesEnded(by, count) => write!(f, "ended {count} leases of {by}"),
            Self::ConsumerGone(reader) => write!(f, "gone: consumer {reader}"),
            Self::ConsumerMade(reader) => write!(f, "made: consumer {reader}"),
            Self::StreamGone(stream, count) => write!(f, "gone: stream {stream} with {count} messages"),
            Self::StreamMade(stream) => write!(f, "made: stream {stream}"),
            Self::IdsForgotten(stream, count) => write!(f, "forgot {count} ids of stream {stream}"),
            Self::Switched(class, true) => write!(f, "fault {class} on"),
            Self::Switched(class, false) => write!(f, "fault {class} off"),
            Self::Linked(Link::Up) => f.write_str("link up"),
            Self::Linked(Link::Down(_)) => f.write_str("link down"),
        }
    }
}

fn word(settlement: &Settlement) -> String {
    match settlement {
        Settlement::Ack => "acked".to_owned(),
        Settlement::RetryAfter(delay) => format!("to retry after {delay:?}"),
        Settlement::Reject => "rejected".to_owned(),
        Settlement::Renew => "renewed".to_owned(),
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overflow => "overflow",
            Self::Fault => "fault",
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)?;
        if let Some(sequence) = self.sequence {
            write!(f, " #{sequence}")?;
        }
        self.id.as_ref().map_or(Ok(()), |id| write!(f, " ({id})"))
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscriber { pattern, id } => write!(f, "{pattern}#{id}"),
            Self::Consumer { stream, name } => write!(f, "{stream}/{name}"),
        }
    }
}
