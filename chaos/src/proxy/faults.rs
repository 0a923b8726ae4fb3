//! What a link does to the bytes that cross it, and the grammar that says so on the command line and at the
//! control address. Parsing never panics, whatever the text.
//!
//! ```text
//! faults     = "none" | setting { "," setting }      latency=200ms,jitter=50ms      down:stall      refuse
//! setting    = [ side ":" ] fault                    without a side: both
//!            | "refuse"               new connections are reset before a byte passes
//! side       = "up"                   from the client to the upstream
//!            | "down"                 from the upstream to the client
//! fault      = "latency=" DURATION    bytes, and the end of the stream, arrive this much later
//!            | "jitter=" DURATION     and up to this much later still; their order stays
//!            | "bandwidth=" BYTES     passed on in a second, at most
//!            | "slice=" BYTES         passed on in segments of at most so many bytes
//!            | "corrupt=" COUNT       one byte in COUNT is changed, on the average
//!            | "stall"                nothing passes and nothing is lost: after healing it arrives
//!            | "swallow"              what comes is read and lost; the sender notices nothing
//!            | "cut"                  the receiver sees the end of the stream (FIN)
//!            | "cut-after=" BYTES     the same, after so many bytes
//!            | "reset"                both ends see a reset (RST), whichever side is named
//!            | "reset-after=" BYTES   the same, after so many bytes
//! DURATION   = digits ( "ms" | "s" | "m" )
//! BYTES      = digits [ "k" | "m" ]   times 1024, or 1024 twice; a terabyte at most
//! ```
//! Bytes are counted from the moment the faults were set, or from the start of a later connection. If two
//! settings exclude each other, the later one holds.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;
use std::time::Duration;

use crate::provider::behaviour::duration;

/// The most bytes of a setting: a terabyte is more than any link carries, and adds up without overflow.
pub const MAX_BYTES: u64 = 1 << 40;

/// How many characters of a wrong setting an error repeats.
const MAX_QUOTED_CHARS: usize = 60;

/// What one link does, in both directions. The default does nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// New connections are reset before a byte passes.
    pub refuse: bool,
    /// From the client to the upstream.
    pub up: Way,
    /// From the upstream to the client.
    pub down: Way,
}

/// What happens to the bytes of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// How much later they arrive.
    pub latency: Duration,
    /// The most that is added to the latency, drawn anew for each read.
    pub jitter: Duration,
    /// Bytes a second.
    pub bandwidth: Option<NonZeroU64>,
    /// The longest segment, in bytes.
    pub slice: Option<NonZeroU64>,
    /// One byte in this many is changed, on average.
    pub corrupt: Option<NonZeroU32>,
    /// Whether they pass at all.
    pub hold: Option<Hold>,
    /// After this many bytes the stream ends; 0 ends it at once.
    pub cut_after: Option<u64>,
    /// After this many bytes the connection is reset; 0 resets it at once.
    pub reset_after: Option<u64>,
}

/// How a direction is blocked without the ends being told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Bytes wait, and arrive after healing.
    Stall,
    /// Bytes are read and lost.
    Swallow,
}

/// A setting that the grammar does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{setting}` is no fault of the proxy: {problem}")]
pub struct FaultsError {
    setting: String,
    problem: &'static str,
}

impl Faults {
    /// Whether nothing is done to any byte.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn set(&mut self, setting: &str) -> Result<(), &'static str> {
        match setting.split_once(':') {
            Some(("up", fault)) => self.up.set(fault),
            Some(("down", fault)) => self.down.set(fault),
            Some(_) => Err("a side is `up` or `down`"),
            None if setting == "refuse" => {
                self.refuse = true;
                Ok(())
            }
            None => {
                self.up.set(setting)?;
                self.down.set(setting)
            }
        }
    }
}

impl FromStr for Faults {
    type Err = FaultsError;

    fn from_str(text: &str) -> Result<Self, FaultsError> {
        let mut faults = Self::default();
        if text.trim().is_empty() || text.trim() == "none" {
            return Ok(faults);
        }
        for setting in text.split(',').map(str::trim) {
            faults.set(setting).map_err(|problem| FaultsError {
                setting: setting.chars().take(MAX_QUOTED_CHARS).collect(),
                problem,
            })?;
        }
        Ok(faults)
    }
}

/// The text that reads back as the same faults.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (up, down) = (self.up.settings(), self.down.settings());
        let both = up.iter().filter(|setting| down.contains(setting)).cloned();
        let only_up =
            up.iter().filter(|setting| !down.contains(setting)).map(|setting| format!("up:{setting}"));
        let only_down =
            down.iter().filter(|setting| !up.contains(setting)).map(|setting| format!("down:{setting}"));
        let refuse = self.refuse.then(|| "refuse".to_owned());
        let all: Vec<_> = refuse.into_iter().chain(both).chain(only_up).chain(only_down).collect();
        f.write_str(if all.is_empty() { "none" } else { "" })?;
        f.write_str(&all.join(","))
    }
}

impl Way {
    fn set(&mut self, fault: &str) -> Result<(), &'static str> {
        match fault.split_once('=') {
            Some(("latency", value)) => self.latency = duration(value)?,
            Some(("jitter", value)) => self.jitter = duration(value)?,
            Some(("bandwidth", value)) => self.bandwidth = Some(some_bytes(value)?),
            Some(("slice", value)) => self.slice = Some(some_bytes(value)?),
            Some(("corrupt", value)) => {
                self.corrupt =
                    Some(value.parse().map_err(|_| "one byte in how many? a whole number from 1")?);
            }
            Some(("cut-after", value)) => self.cut_after = Some(bytes(value)?),
            Some(("reset-after", value)) => self.reset_after = Some(bytes(value)?),
            Some(_) => return Err("unknown name, or a name that takes no value"),
            None => match fault {
                "stall" => self.hold = Some(Hold::Stall),
                "swallow" => self.hold = Some(Hold::Swallow),
                "cut" => self.cut_after = Some(0),
                "reset" => self.reset_after = Some(0),
                "refuse" => return Err("a connection is refused as a whole: it has no side"),
                _ => return Err("unknown name, or a name that needs a value"),
            },
        }
        Ok(())
    }

    /// Its settings in the words of the grammar, in a fixed order.
    fn settings(&self) -> Vec<String> {
        let time =
            |name, value: Duration| (!value.is_zero()).then(|| format!("{name}={}ms", value.as_millis()));
        let after = |name, bytes| match bytes {
            0 => name,
            _ => format!("{name}-after={bytes}"),
        };
        [
            time("latency", self.latency),
            time("jitter", self.jitter),
            self.bandwidth.map(|bytes| format!("bandwidth={bytes}")),
            self.slice.map(|bytes| format!("slice={bytes}")),
            self.corrupt.map(|count| format!("corrupt={count}")),
            self.hold.map(|hold| match hold {
                Hold::Stall => "stall".to_owned(),
                Hold::Swallow => "swallow".to_owned(),
            }),
            self.cut_after.map(|bytes| after("cut".to_owned(), bytes)),
            self.reset_after.map(|bytes| after("reset".to_owned(), bytes)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn bytes(text: &str) -> Result<u64, &'static str> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1024),
        Some(b'm') => (&text[..text.len() - 1], 1024 * 1024),
        _ => (text, 1),
    };
    let wrong = "bytes are digits, and perhaps k or m";
    // A number in Rust may begin with a plus; one of this grammar may not.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong);
    }
    let amount: u64 = digits.parse().map_err(|_| wrong)?;
    amount.checked_mul(unit).filter(|bytes| *bytes <= MAX_BYTES).ok_or("that is more than a terabyte")
}

fn some_bytes(text: &str) -> Result<NonZeroU64, &'static str> {
    NonZeroU64::new(bytes(text)?).ok_or("it must be at least one byte")
}

#[cfg(test)]
mod tests;
