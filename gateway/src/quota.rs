//! Limits what callers may ask for: requests and tokens in any minute, and concurrent requests; by key, by tenant, and
//! by organisation. Each gateway counts only the requests that it gets, so each of several allows as much.

mod minute;

use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;
use schemas::{CallerLimits, Error, ErrorCode, EventBody, Request};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    app::{RETRY_AFTER_MS, Shared},
    caller::Caller,
    frame::Frame,
    tenants::Group,
};
use minute::Minute;

/// Why a limit of 0 is invalid.
pub(crate) const NO_LIMIT: &str = "expected at least 1; leave it out where nothing is limited";
/// How many bytes of text count as a token before the provider has counted its tokens.
const BYTES_PER_TOKEN: usize = 4;

/// The name of the first limit that lets nothing through.
pub(crate) fn zero(limits: &CallerLimits) -> Option<&'static str> {
    let named = [
        ("requests_per_minute", limits.requests_per_minute),
        ("tokens_per_minute", limits.tokens_per_minute),
        ("concurrency", limits.concurrency),
    ];
    named.into_iter().find_map(|(name, limit)| (limit == Some(0)).then_some(name))
}

/// What one owner has asked for recently.
#[derive(Debug, Default)]
pub(crate) struct Quota(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: Minute,
    tokens: Minute,
    open: u32,
}

/// The quotas of tenants, and of groups of them, that have limits.
#[derive(Debug, Default)]
pub(crate) struct Quotas(DashMap<Group, Arc<Quota>>);

/// What a request has taken from the quotas.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) places: Vec<Place>,
    pub(crate) charge: Option<Charge>,
}

/// A place among the concurrent requests; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place(Arc<Quota>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock();
        counts.open = counts.open.saturating_sub(1);
    }
}

/// The estimated tokens of a request, to be corrected at its end.
#[derive(Debug)]
pub(crate) struct Charge {
    at: Instant,
    tokens: u32,
    quotas: Vec<Arc<Quota>>,
}

/// A limit that was reached.
struct Met {
    name: &'static str,
    limit: u32,
    wait_ms: u64,
}

impl Quotas {
    /// Takes what `request` needs, or says which limit was reached and when to return. A refused request takes nothing.
    pub(crate) fn take(&self, app: &Shared, caller: &Caller, request: &Request) -> Result<Taken, Error> {
        let of_groups = app.parts.access.tenants.limits(&caller.tenant).into_iter().map(|(group, limits)| {
            let owner = group.to_string();
            let quota = Arc::clone(&self.0.entry(group).or_default());
            (owner, limits, quota)
        });
        let of_key = caller.key().filter(|key| key.limits != CallerLimits::NONE).zip(caller.quota());
        let of_key = of_key.map(|(key, quota)| (format!("the API key `{}`", key.id), key.limits, quota));
        let mut taken = Taken::default();
        let (now, tokens) = (Instant::now(), estimate(request));
        for (owner, limits, quota) in of_key.into_iter().chain(of_groups) {
            if let Err(met) = quota.take(&limits, tokens, now) {
                // The other quotas give back what they had counted.
                taken.undo(now);
                return Err(met.refusal(&owner));
            }
            taken.places.push(Place(Arc::clone(&quota)));
            let charge = taken.charge.get_or_insert_with(|| Charge { at: now, tokens, quotas: Vec::new() });
            charge.quotas.push(quota);
        }
        Ok(taken)
    }
}

impl Taken {
    fn undo(&mut self, now: Instant) {
        if let Some(Charge { tokens, quotas, .. }) = self.charge.take() {
            for quota in quotas {
                let mut counts = quota.0.lock();
                counts.requests.correct(now, 1, 0);
                counts.tokens.correct(now, tokens, 0);
            }
        }
    }
}

impl Quota {
    fn take(&self, limits: &CallerLimits, tokens: u32, now: Instant) -> Result<(), Met> {
        let mut counts = self.0.lock();
        let met = |name, limit, wait_ms| Err(Met { name, limit, wait_ms });
        if let Some(limit) = limits.concurrency.filter(|limit| counts.open >= *limit) {
            return met("concurrency", limit, RETRY_AFTER_MS);
        }
        if let Some(limit) = limits.requests_per_minute
            && let Some(wait_ms) = counts.requests.wait_ms(now, 1, limit)
        {
            return met("requests_per_minute", limit, wait_ms);
        }
        if let Some(limit) = limits.tokens_per_minute
            && let Some(wait_ms) = counts.tokens.wait_ms(now, tokens.min(limit), limit)
        {
            return met("tokens_per_minute", limit, wait_ms);
        }
        counts.requests.add(now, 1);
        counts.tokens.add(now, tokens);
        counts.open += 1;
        Ok(())
    }
}

impl Met {
    fn refusal(self, owner: &str) -> Error {
        let Self { name, limit, wait_ms } = self;
        let why = match name {
            "concurrency" => format!("{owner} has {limit} requests open, as many as it may ({name})"),
            _ => format!("{owner} has met its limit of {limit} {}", name.replace('_', " ")),
        };
        Error::new(ErrorCode::RateLimited, why).retry_after_ms(wait_ms)
    }
}

impl Charge {
    /// Corrects the estimate by the terminal event of the request.
    pub(crate) fn settle(self, end: &Frame) {
        let used = match end.event().map(|event| event.body) {
            Ok(EventBody::Complete(done) | EventBody::ChatComplete(done)) => done.usage.total_tokens(),
            Ok(EventBody::Cancelled { usage }) => usage.total_tokens(),
            // A failed request has used something, but nothing here says how much.
            _ => return,
        };
        let used = u32::try_from(used).unwrap_or(u32::MAX);
        for quota in &self.quotas {
            quota.0.lock().tokens.correct(self.at, self.tokens, used);
        }
    }
}

/// The estimated use of a request: its text, and the longest answer if it says how long that may be.
fn estimate(request: &Request) -> u32 {
    let answer = ["max_completion_tokens", "max_tokens", "max_output_tokens"];
    let answer = answer.iter().find_map(|field| request.payload.get(field)?.as_u64()).unwrap_or_default();
    let question = text_bytes(&request.payload).div_ceil(BYTES_PER_TOKEN) as u64;
    u32::try_from(question.saturating_add(answer)).unwrap_or(u32::MAX)
}

/// The length of the text in a payload, whose depth was checked before.
fn text_bytes(value: &Value) -> usize {
    match value {
        // A picture is not text, however long its data URI is.
        Value::String(text) if text.starts_with("data:") => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(fields) => fields.values().map(text_bytes).sum(),
        _ => 0,
    }
}
