//! Headers that say when to come again, one a line: no wish is longer than an hour.

#![no_main]

use std::time::Duration;

use adapters::retry_after;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Longer wishes are cut to this.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.insert(name, value);
        }
    }
    let now = Timestamp::UNIX_EPOCH;
    let wishes = [retry_after::read(&headers, now), retry_after::read_rate_limit(&headers, now)];
    assert!(wishes.into_iter().flatten().all(|wish| wish <= WAIT_MAX), "{wishes:?}");
});
