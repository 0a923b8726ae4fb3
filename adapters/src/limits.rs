//! Reads what is left of a key's limits from the headers of each reply: OpenAI's `x-ratelimit-*` and Anthropic's
//! `anthropic-ratelimit-*`. A header that makes no sense is ignored.

use std::time::Duration;

use futures_util::{Stream, stream};
use jiff::Timestamp;
use reqwest::header::HeaderMap;

use crate::{
    Error, Progress,
    retry_after::{RETRY_AFTER_MAX, go_duration},
};

/// The prefixes of these headers.
const VENDORS: [&str; 2] = ["x-ratelimit-", "anthropic-ratelimit-"];
/// Anthropic limits tokens in three ways; the limit with the least left stops the next call.
const TOKENS: [&str; 3] = ["tokens", "input-tokens", "output-tokens"];

/// What is left of a key's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Calls.
    pub requests: Option<Left>,
    /// Tokens.
    pub tokens: Option<Left>,
}

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// How much is left.
    pub count: u64,
    /// How long until there is more.
    pub lasts: Duration,
}

impl Limits {
    /// Reads `headers`; none if they report no limits. `now` is for limits whose reset is a point in time.
    pub fn read(headers: &HeaderMap, now: Timestamp) -> Option<Self> {
        // Most headers report none, and this check is faster than looking up each name.
        if !headers.keys().any(|name| VENDORS.iter().any(|vendor| name.as_str().starts_with(vendor))) {
            return None;
        }
        let of = |kind: &str| openai(headers, kind).or_else(|| anthropic(headers, kind, now));
        let tokens = TOKENS.iter().filter_map(|kind| of(kind)).min_by_key(|left| left.count);
        let limits = Self { requests: of("requests"), tokens };
        (limits != Self::default()).then_some(limits)
    }
}

/// The first events of every HTTP reply: it was accepted, and perhaps what is left of the limits.
pub(crate) fn beginning(headers: &HeaderMap) -> impl Iterator<Item = Progress> + Send + use<> {
    let limits = Limits::read(headers, Timestamp::now()).map(Progress::Limits);
    [Some(Progress::Started), limits].into_iter().flatten()
}

/// Like [`beginning`], as a stream to which the rest of the reply is chained.
pub(crate) fn begun(headers: &HeaderMap) -> impl Stream<Item = Result<Progress, Error>> + Send + use<> {
    stream::iter(beginning(headers).map(Ok))
}

fn openai(headers: &HeaderMap, kind: &str) -> Option<Left> {
    let lasts = go_duration(text(headers, &format!("x-ratelimit-reset-{kind}"))?)?;
    left(headers, &format!("x-ratelimit-remaining-{kind}"), lasts)
}

fn anthropic(headers: &HeaderMap, kind: &str, now: Timestamp) -> Option<Left> {
    let reset: Timestamp = text(headers, &format!("anthropic-ratelimit-{kind}-reset"))?.parse().ok()?;
    let lasts = Duration::try_from(reset.duration_since(now)).ok()?;
    left(headers, &format!("anthropic-ratelimit-{kind}-remaining"), lasts)
}

fn left(headers: &HeaderMap, name: &str, lasts: Duration) -> Option<Left> {
    let count = text(headers, name)?.parse().ok()?;
    Some(Left { count, lasts: lasts.min(RETRY_AFTER_MAX) })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn read(pairs: &[(&'static str, &'static str)]) -> Option<Limits> {
        let header = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        Limits::read(&pairs.iter().map(header).collect(), "2026-11-20T12:00:00Z".parse().unwrap())
    }

    fn left(count: u64, milliseconds: u64) -> Option<Left> {
        Some(Left { count, lasts: Duration::from_millis(milliseconds) })
    }

    #[test]
    fn openai_tells_of_both_limits() {
        let said = read(&[
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ]);
        assert_eq!(said, Some(Limits { requests: left(59, 1_000), tokens: left(149_984, 360_000) }));
    }

    #[test]
    fn of_anthropics_three_counts_of_tokens_the_least_is_left() {
        let said = read(&[
            ("anthropic-ratelimit-input-tokens-remaining", "2000"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-11-20T12:00:05Z"),
            ("anthropic-ratelimit-output-tokens-remaining", "0"),
            ("anthropic-ratelimit-output-tokens-reset", "2026-11-20T12:00:30Z"),
        ]);
        assert_eq!(said, Some(Limits { requests: None, tokens: left(0, 30_000) }));
    }

    #[test]
    fn what_is_half_said_or_over_or_nonsense_says_nothing() {
        let reset = ("anthropic-ratelimit-requests-reset", "2026-11-20T11:59:00Z");
        for pairs in [
            &[("x-ratelimit-remaining-requests", "0")][..],
            &[("x-ratelimit-remaining-requests", "-1"), ("x-ratelimit-reset-requests", "1s")],
            &[("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", "soon")],
            &[("anthropic-ratelimit-requests-remaining", "0"), reset],
        ] {
            assert_eq!(read(pairs), None, "{pairs:?}");
        }
    }
}
