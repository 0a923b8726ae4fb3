//! What the simulated provider does with a call, and the grammar that says so in a model's name, in the
//! `x-sim` header and in the configuration. Parsing never panics, whatever the text.
//!
//! ```text
//! model      = "sim" [ "-" DURATION ] [ ":" settings ]       sim   sim-60ms   sim:first=60ms,gap=10ms
//! settings   = setting { "," setting }
//! setting    = "first=" DURATION      time to the first token (`sim-60ms` is `sim:first=60ms`)
//!            | "gap=" DURATION        time between two tokens
//!            | "tokens=" COUNT        length of the answer, in tokens; one token is one chunk of a stream
//!            | "rpm=" COUNT           calls a minute for this model; more get 429 with Retry-After
//!            | "times=" COUNT         the fault hits only the first COUNT calls under one key
//!            | "share=" PERCENT       the fault hits only that share of the calls, evenly spread: 1 to 100
//!            | "retry-after=" DURATION   sent with a refusal; a bare number means seconds
//!            | [ "fault=" ] fault
//! fault      = [ "status=" ] STATUS   refused with this status, 400 to 599
//!            | "quota"                refused with 429 `insufficient_quota`
//!            | "html"                 refused with 502 and an HTML page
//!            | "stall"                headers, then nothing
//!            | "stall-after=" COUNT   COUNT chunks, then nothing
//!            | "drip"                 the body byte by byte, one each `gap` (or each second)
//!            | "cut-after=" COUNT     COUNT chunks, then the connection closes
//!            | "reset-after=" COUNT   COUNT chunks, then the connection is reset
//!            | "truncate"             the body ends in the middle of its JSON
//!            | "malformed"            invalid JSON; in a stream, the second chunk
//!            | "error-after=" COUNT   COUNT chunks, then an error event and the end (not streamed: 500)
//!            | "no-usage"             the answer lacks its `usage`
//!            | "no-done"              the stream lacks its `[DONE]`
//!            | "prose"                words where JSON was asked for (Gemini's, Ollama's and the Responses API)
//!            | "fenced"               the answer stands in a code fence (as above)
//!            | "empty"                an answer with nothing in it (as above)
//!            | "refusal"              the model refuses (the Responses API)
//!            | "filtered"             the first half of an answer, withheld from there on (the Responses API)
//!            | "failed"               the first half of an answer, failed from there on (the Responses API)
//!            | "none"                 no fault
//! DURATION   = digits ( "ms" | "s" | "m" )
//! ```
//! Chunks are counted from 0 and include the one that announces the role. For Anthropic's API they are its events, a
//! ping included, and `[DONE]` is its `message_stop`; for the Responses API they are its events, and `[DONE]` is the
//! one that tells the end. An answer that is not streamed has no chunks: a stall comes after its headers, a cut and a
//! reset after half of its body.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The most tokens of one answer; with it the longest stream stays below 4 MiB.
pub const MAX_TOKENS: u32 = 16_384;

/// The most calls a minute, which bounds what one window has to remember.
pub const MAX_RPM: u32 = 100_000;

/// The longest duration: no simulator needs to wait longer, and no sum may overflow.
pub const MAX_DURATION: Duration = Duration::from_secs(3_600);

/// How many characters of a wrong setting an error repeats.
const MAX_QUOTED_CHARS: usize = 60;

/// How a call is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// From arrival to the first token (or to a refusal by a fault).
    pub first_token: Duration,
    /// Between two tokens.
    pub gap: Duration,
    /// Tokens of the answer, unless the request asks for fewer.
    pub tokens: u32,
    /// What goes wrong.
    pub fault: Option<Fault>,
    /// The fault hits only this many calls under one key; `None` hits them all.
    pub times: Option<u32>,
    /// The fault hits only that share of the calls, in percent; `None` hits them all.
    pub share: Option<u32>,
    /// The `Retry-After` of a refusal by a fault.
    pub retry_after: Option<Duration>,
    /// Calls admitted in any 60 seconds; `None` admits all.
    pub rpm: Option<u32>,
}

/// What goes wrong with a call. Counts are chunks of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is explained in the grammar of this module")]
pub enum Fault {
    Status(u16),
    Quota,
    Html,
    Stall,
    StallAfter(u32),
    Drip,
    CutAfter(u32),
    ResetAfter(u32),
    Truncate,
    Malformed,
    ErrorAfter(u32),
    NoUsage,
    NoDone,
    Prose,
    Fenced,
    Empty,
    Refusal,
    Filtered,
    Failed,
}

/// A setting that the grammar does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{setting}` is no setting of the simulator: {problem}")]
pub struct GrammarError {
    setting: String,
    problem: &'static str,
}

impl Behaviour {
    /// This behaviour with the settings of `text` laid over it; the others stay.
    ///
    /// # Errors
    /// When a setting is unknown or its value out of range.
    pub fn with(mut self, text: &str) -> Result<Self, GrammarError> {
        if text.trim().is_empty() {
            return Ok(self);
        }
        for setting in text.split(',') {
            self.set(setting.trim()).map_err(|problem| GrammarError {
                setting: setting.chars().take(MAX_QUOTED_CHARS).collect(),
                problem,
            })?;
        }
        Ok(self)
    }

    /// This behaviour with the settings in a model's name laid over it; `None` if the name is not the
    /// simulator's.
    ///
    /// # Errors
    /// When the name is the simulator's and the rest of it is not in the grammar.
    pub fn of_model(mut self, model: &str) -> Result<Option<Self>, GrammarError> {
        let Some(rest) = model.strip_prefix("sim") else { return Ok(None) };
        let (suffix, settings) = rest.split_once(':').unwrap_or((rest, ""));
        match suffix.strip_prefix('-') {
            Some(first) => match duration(first) {
                Ok(first) => self.first_token = first,
                Err(_) => return Ok(None),
            },
            None if suffix.is_empty() => {}
            None => return Ok(None),
        }
        self.with(settings).map(Some)
    }

    fn set(&mut self, setting: &str) -> Result<(), &'static str> {
        match setting.split_once('=') {
            Some(("first", value)) => self.first_token = duration(value)?,
            Some(("gap", value)) => self.gap = duration(value)?,
            Some(("tokens", value)) => self.tokens = count(value, 1, MAX_TOKENS)?,
            Some(("rpm", value)) => self.rpm = Some(count(value, 1, MAX_RPM)?),
            Some(("times", value)) => self.times = Some(count(value, 1, u32::MAX)?),
            Some(("share", value)) => self.share = Some(count(value, 1, 100)?),
            Some(("retry-after", value)) => self.retry_after = Some(seconds_or_duration(value)?),
            Some(("fault", value)) => self.fault = fault(value)?,
            _ => self.fault = fault(setting)?,
        }
        Ok(())
    }
}

impl Default for Behaviour {
    /// Answers at once, in sixteen tokens.
    fn default() -> Self {
        Self {
            first_token: Duration::ZERO,
            gap: Duration::ZERO,
            tokens: 16,
            fault: None,
            times: None,
            share: None,
            retry_after: None,
            rpm: None,
        }
    }
}

/// The default with the settings of the text laid over it.
impl FromStr for Behaviour {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        Self::default().with(text)
    }
}

/// The text that [`Behaviour::with`] reads back.
impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, gap) = (self.first_token.as_millis(), self.gap.as_millis());
        write!(f, "first={first}ms,gap={gap}ms,tokens={}", self.tokens)?;
        if let Some(fault) = self.fault {
            write!(f, ",{fault}")?;
        }
        if let Some(times) = self.times {
            write!(f, ",times={times}")?;
        }
        if let Some(share) = self.share {
            write!(f, ",share={share}")?;
        }
        if let Some(wait) = self.retry_after {
            write!(f, ",retry-after={}ms", wait.as_millis())?;
        }
        match self.rpm {
            Some(rpm) => write!(f, ",rpm={rpm}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status={status}"),
            Self::Quota => f.write_str("quota"),
            Self::Html => f.write_str("html"),
            Self::Stall => f.write_str("stall"),
            Self::StallAfter(chunks) => write!(f, "stall-after={chunks}"),
            Self::Drip => f.write_str("drip"),
            Self::CutAfter(chunks) => write!(f, "cut-after={chunks}"),
            Self::ResetAfter(chunks) => write!(f, "reset-after={chunks}"),
            Self::Truncate => f.write_str("truncate"),
            Self::Malformed => f.write_str("malformed"),
            Self::ErrorAfter(chunks) => write!(f, "error-after={chunks}"),
            Self::NoUsage => f.write_str("no-usage"),
            Self::NoDone => f.write_str("no-done"),
            Self::Prose => f.write_str("prose"),
            Self::Fenced => f.write_str("fenced"),
            Self::Empty => f.write_str("empty"),
            Self::Refusal => f.write_str("refusal"),
            Self::Filtered => f.write_str("filtered"),
            Self::Failed => f.write_str("failed"),
        }
    }
}

fn fault(text: &str) -> Result<Option<Fault>, &'static str> {
    let chunks = |value| count(value, 0, u32::MAX);
    Ok(Some(match text.split_once('=') {
        Some(("status", value)) => Fault::Status(status(value)?),
        Some(("stall-after", value)) => Fault::StallAfter(chunks(value)?),
        Some(("cut-after", value)) => Fault::CutAfter(chunks(value)?),
        Some(("reset-after", value)) => Fault::ResetAfter(chunks(value)?),
        Some(("error-after", value)) => Fault::ErrorAfter(chunks(value)?),
        Some(_) => return Err("unknown name, or a name that takes no value"),
        None => match text {
            "none" => return Ok(None),
            "quota" => Fault::Quota,
            "html" => Fault::Html,
            "stall" => Fault::Stall,
            "drip" => Fault::Drip,
            "truncate" => Fault::Truncate,
            "malformed" => Fault::Malformed,
            "no-usage" => Fault::NoUsage,
            "no-done" => Fault::NoDone,
            "prose" => Fault::Prose,
            "fenced" => Fault::Fenced,
            "empty" => Fault::Empty,
            "refusal" => Fault::Refusal,
            "filtered" => Fault::Filtered,
            "failed" => Fault::Failed,
            _ if text.starts_with(|first: char| first.is_ascii_digit()) => Fault::Status(status(text)?),
            _ => return Err("unknown name, or a name that needs a value"),
        },
    }))
}

fn status(text: &str) -> Result<u16, &'static str> {
    let status = text.parse().map_err(|_| "a status is a number from 400 to 599")?;
    if (400..=599).contains(&status) { Ok(status) } else { Err("a status is a number from 400 to 599") }
}

fn count(text: &str, min: u32, max: u32) -> Result<u32, &'static str> {
    let count = text.parse().map_err(|_| "the value is no whole number")?;
    if (min..=max).contains(&count) { Ok(count) } else { Err("the number is out of range") }
}

/// Reads `60ms`, `2s` or `1m`.
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or("a duration needs a unit: ms, s or m")?;
    let (digits, unit) = text.split_at(unit_at);
    let amount: u32 = digits.parse().map_err(|_| "a duration is a whole number and a unit: 60ms")?;
    let duration = match unit {
        "ms" => Duration::from_millis(amount.into()),
        "s" => Duration::from_secs(amount.into()),
        "m" => Duration::from_secs(u64::from(amount) * 60),
        _ => return Err("the unit of a duration is ms, s or m"),
    };
    if duration <= MAX_DURATION { Ok(duration) } else { Err("a duration is at most an hour") }
}

/// Reads a duration, or a bare number of seconds as in the `Retry-After` header.
pub(crate) fn seconds_or_duration(text: &str) -> Result<Duration, &'static str> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        duration(&format!("{text}s"))
    } else {
        duration(text)
    }
}

#[cfg(test)]
mod tests;
