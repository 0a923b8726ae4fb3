//! Reads from a refusal how long the provider asks us to wait.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The longest wait; a longer one is cut to this: a provider's typo should delay nobody's work for days.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// The wait in `headers`: `retry-after-ms`, else `retry-after` as seconds or as a date. `now` is only for a date in a
/// reply without a `date` header.
pub fn read(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let milliseconds = text("retry-after-ms").and_then(seconds).map(|duration| duration / 1000);
    let date = || {
        let then = parse_date(text(RETRY_AFTER.as_str())?)?;
        let now = text(DATE.as_str()).and_then(parse_date).unwrap_or(now);
        Duration::try_from(then.duration_since(now).max(SignedDuration::ZERO)).ok()
    };
    milliseconds
        .or_else(|| text(RETRY_AFTER.as_str()).and_then(seconds))
        .or_else(date)
        .map(|wish| wish.min(RETRY_AFTER_MAX))
}

/// How long until a rate limit is lifted: the latest reset of the spent limits or, if none is reported as spent, the
/// earliest of all. Only for a refusal by a rate limit: these headers come with every other reply too. OpenAI reports a
/// duration, Anthropic a point in time. `now` is as in [`read`].
pub fn read_rate_limit(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: String| headers.get(name).and_then(|value| value.to_str().ok());
    let now = text(DATE.to_string()).and_then(parse_date).unwrap_or(now);
    let until = |moment: &str| {
        let wait = moment.parse::<Timestamp>().ok()?.duration_since(now).max(SignedDuration::ZERO);
        Duration::try_from(wait).ok().filter(|wait| !wait.is_zero())
    };
    let openai = ["requests", "tokens"].map(|kind| {
        let spent = text(format!("x-ratelimit-remaining-{kind}")) == Some("0");
        (spent, text(format!("x-ratelimit-reset-{kind}")).and_then(go_duration))
    });
    let anthropic = ["requests", "tokens", "input-tokens", "output-tokens"].map(|kind| {
        let spent = text(format!("anthropic-ratelimit-{kind}-remaining")) == Some("0");
        (spent, text(format!("anthropic-ratelimit-{kind}-reset")).and_then(until))
    });
    let limits: Vec<_> = openai.into_iter().chain(anthropic).collect();
    let of =
        |wanted: bool| limits.iter().filter(move |(spent, _)| *spent == wanted).filter_map(|(_, at)| *at);
    of(true).max().or_else(|| of(false).min()).map(|wish| wish.min(RETRY_AFTER_MAX))
}

/// The wait in the body of a refusal: a duration with its unit, as in `27s`.
pub fn read_text(text: &str) -> Option<Duration> {
    go_duration(text).map(|wish| wish.min(RETRY_AFTER_MAX))
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.parse::<f64>().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero())
}

fn parse_date(text: &str) -> Option<Timestamp> {
    DateTimeParser::new().parse_timestamp(text).ok()
}

/// A duration as Go writes it: `6ms`, `1s`, `6m0s`, `1h2m3.5s`; plain seconds too.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Some(duration) = seconds(rest) {
        return Some(duration);
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let scale = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    Some(total).filter(|total| !total.is_zero())
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    type Pairs = [(&'static str, &'static str)];

    fn headers(pairs: &Pairs) -> HeaderMap {
        let header = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        pairs.iter().map(header).collect()
    }

    fn wish(pairs: &Pairs) -> Option<Duration> {
        read(&headers(pairs), "2026-11-20T12:00:00Z".parse().unwrap())
    }

    fn lifted(pairs: &Pairs) -> Option<Duration> {
        read_rate_limit(&headers(pairs), "2026-11-20T12:00:00Z".parse().unwrap())
    }

    fn ms(milliseconds: u64) -> Option<Duration> {
        Some(Duration::from_millis(milliseconds))
    }

    #[test]
    fn the_most_precise_header_wins() {
        assert_eq!(wish(&[("retry-after", "2"), ("retry-after-ms", "1250.0")]), ms(1250));
        assert_eq!(wish(&[("retry-after", "1.5"), ("date", "nonsense")]), ms(1500));
        assert_eq!(wish(&[("retry-after", "Fri, 20 Nov 2026 12:00:07 GMT")]), ms(7000));
        let date = ("date", "Fri, 20 Nov 2026 11:00:00 GMT");
        assert_eq!(wish(&[date, ("retry-after", "Fri, 20 Nov 2026 11:00:03 GMT")]), ms(3000));
    }

    #[test]
    fn of_the_rate_limits_the_spent_one_counts() {
        let resets = [("x-ratelimit-reset-requests", "1m30s"), ("x-ratelimit-reset-tokens", "6ms")];
        assert_eq!(lifted(&resets), ms(6));
        assert_eq!(lifted(&[&resets[..], &[("x-ratelimit-remaining-requests", "0")]].concat()), ms(90_000));
        assert_eq!(lifted(&[("x-ratelimit-reset-tokens", "1h0m0.5s")]), ms(3_600_000));
        assert_eq!(lifted(&[("x-ratelimit-reset-tokens", "0.25")]), ms(250));
        let moments = [
            ("anthropic-ratelimit-requests-reset", "2026-11-20T12:00:01Z"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-11-20T12:00:30Z"),
        ];
        assert_eq!(lifted(&moments), ms(30_000));
        assert_eq!(lifted(&[("date", "Fri, 20 Nov 2026 12:00:20 GMT"), moments[1], moments[2]]), ms(10_000));
    }

    #[test]
    fn nonsense_is_no_wish_and_an_endless_one_is_cut() {
        for text in ["", "soon", "-1", "NaN", "0", "1e400"] {
            assert_eq!(wish(&[("retry-after", text)]), None, "{text}");
        }
        for text in ["", "5x", "s", "1.2.3s", "m5"] {
            assert_eq!(lifted(&[("x-ratelimit-reset-tokens", text)]), None, "{text}");
        }
        assert_eq!(wish(&[("retry-after", "1e15")]), Some(RETRY_AFTER_MAX));
    }
}
