//! How the receiver replies, with one grammar for a callback's URL and for the configuration. Parsing never panics,
//! whatever the text.
//!
//! ```text
//! replies    = setting { ( "&" | "," ) setting }     /hook?fail-first=2&status=503&retry-after=1
//! setting    = "status=" STATUS          reply with it, 200 to 599 (500 where only fail-first is given)
//!            | "fail-first=" COUNT       only to the first COUNT attempts of a message; the next get 200
//!            | "delay=" DURATION         wait before the reply
//!            | "retry-after=" DURATION   sent with a failure; a bare number means seconds
//! DURATION   = digits ( "ms" | "s" | "m" )
//! ```

use std::str::FromStr;
use std::time::Duration;

use crate::provider::behaviour::{duration, seconds_or_duration};

/// How many characters of a wrong setting an error quotes.
const MAX_QUOTED_CHARS: usize = 60;

/// The status of a failure that names none.
const FAILURE_STATUS: u16 = 500;

/// How to reply to attempts. The default is 200 at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// The status to reply with.
    pub status: Option<u16>,
    /// Only this many first attempts of a message get that status.
    pub fail_first: Option<u32>,
    /// The wait before the reply.
    pub delay: Duration,
    /// Sent with any status that is not a success.
    pub retry_after: Option<Duration>,
}

/// A setting that the grammar does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{setting}` is no setting of the receiver: {problem}")]
pub struct RepliesError {
    setting: String,
    problem: &'static str,
}

impl Replies {
    /// These replies, overridden by the settings of `text`.
    ///
    /// # Errors
    /// If a setting is unknown or its value out of range.
    pub fn with(mut self, text: &str) -> Result<Self, RepliesError> {
        for setting in text.split(['&', ',']).filter(|setting| !setting.is_empty()) {
            self.set(setting).map_err(|problem| RepliesError {
                setting: setting.chars().take(MAX_QUOTED_CHARS).collect(),
                problem,
            })?;
        }
        Ok(self)
    }

    /// The status for attempt number `attempt`, from 1.
    #[must_use]
    pub fn status_for(&self, attempt: u32) -> u16 {
        match (self.status, self.fail_first) {
            (None, None) => 200,
            (Some(status), None) => status,
            (status, Some(first)) if attempt <= first => status.unwrap_or(FAILURE_STATUS),
            (_, Some(_)) => 200,
        }
    }

    fn set(&mut self, setting: &str) -> Result<(), &'static str> {
        match setting.split_once('=') {
            Some(("status", value)) => {
                let status = value.parse().ok().filter(|status| (200..=599).contains(status));
                self.status = Some(status.ok_or("a status is a number from 200 to 599")?);
            }
            Some(("fail-first", value)) => {
                self.fail_first = Some(value.parse().map_err(|_| "the value is no whole number")?);
            }
            Some(("delay", value)) => self.delay = duration(value)?,
            Some(("retry-after", value)) => self.retry_after = Some(seconds_or_duration(value)?),
            _ => return Err("known are status=, fail-first=, delay= and retry-after="),
        }
        Ok(())
    }
}

impl FromStr for Replies {
    type Err = RepliesError;

    fn from_str(text: &str) -> Result<Self, RepliesError> {
        Self::default().with(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn statuses(text: &str) -> Vec<u16> {
        let replies = Replies::default().with(text).unwrap();
        (1..=3).map(|attempt| replies.status_for(attempt)).collect()
    }

    #[test]
    fn the_first_attempts_fail_and_the_next_succeed() {
        assert_eq!(statuses(""), [200, 200, 200]);
        assert_eq!(statuses("status=410"), [410, 410, 410]);
        assert_eq!(statuses("fail-first=2"), [500, 500, 200]);
        assert_eq!(statuses("fail-first=1&status=503"), [503, 200, 200]);
    }

    #[test]
    fn a_setting_is_read_or_refused_by_name() {
        let replies = Replies::default().with("delay=50ms,retry-after=2").unwrap();
        assert_eq!(replies.delay, Duration::from_millis(50));
        assert_eq!(replies.retry_after, Some(Duration::from_secs(2)));
        for text in ["status=99", "status=x", "fail-first=-1", "delay=5", "token=1"] {
            let error = Replies::default().with(text).expect_err(text).to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}|([a-z=&,-]|status=|delay=|retry-after=|[0-9]){0,10}") {
            let _ = Replies::default().with(&text);
        }
    }
}
