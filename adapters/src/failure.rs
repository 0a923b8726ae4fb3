//! The table of errors: what a provider's refusal means, and what to do about it.
//!
//! The words in the body decide before the status does: a 429 may say "slower" or "pay first". The first row that fits
//! is taken. What the provider says is shown to the client, except where it may speak of our key.

use std::{ops::RangeInclusive, time::Duration};

use reqwest::header::HeaderMap;
use schemas::ErrorCode;
use serde_json::Value;

use crate::{Error, Remedy, endpoint::Endpoint, retry_after};

/// One row: refusals with a status in `status` and, where there are any, one of `words` as their code or type.
struct Row {
    status: RangeInclusive<u16>,
    words: &'static [&'static str],
    code: ErrorCode,
    remedy: Remedy,
    /// What happened, said of the provider.
    says: &'static str,
    /// Whether the provider's own words may be shown.
    quotes: bool,
}

const fn row(
    status: RangeInclusive<u16>,
    words: &'static [&'static str],
    code: ErrorCode,
    remedy: Remedy,
    says: &'static str,
) -> Row {
    Row { status, words, code, remedy, says, quotes: true }
}

const fn silent(row: Row) -> Row {
    Row { quotes: false, ..row }
}

/// Money is missing. z.ai's numbers: 1113 arrears.
const UNPAID: &[&str] = &[
    "insufficient_quota",
    "credit_balance_exhausted",
    "billing_hard_limit_reached",
    "billing_not_active",
    "spend_limit_exceeded",
    "1113",
];
/// z.ai: 1211 no such model.
const UNKNOWN_MODEL: &[&str] = &["model_not_found", "model_not_available", "1211"];
const BAD_KEY: &[&str] =
    &["invalid_api_key", "authentication_error", "permission_error", "AuthenticationError"];
/// z.ai: 1302 concurrency, 1303 frequency, 1305 overload.
const TOO_FAST: &[&str] =
    &["rate_limit_exceeded", "rate_limit_error", "RateLimitError", "slow_down", "1302", "1303", "1305"];
/// z.ai: 1301 withheld content.
const UNWELCOME: &[&str] = &[
    "invalid_request_error",
    "BadRequestError",
    "context_length_exceeded",
    "content_filter",
    "content_policy_violation",
    "1301",
];

/// Every status; also of errors that come inside an answer, which have none of their own and count as 500.
const ANY: RangeInclusive<u16> = 0..=999;

const TABLE: [Row; 23] = {
    use ErrorCode::{InvalidRequest, NotFound, ProviderError, ProviderUnavailable, RateLimited, TooLarge};
    use Remedy::{FallBack, Fatal, Retry, Throttle};
    [
        row(ANY, UNPAID, ProviderError, FallBack, "its quota or budget is spent"),
        row(ANY, UNKNOWN_MODEL, NotFound, FallBack, "does not serve this model"),
        silent(row(401..=401, &[], ProviderError, FallBack, "rejected our key; its operator must mend that")),
        silent(row(ANY, BAD_KEY, ProviderError, FallBack, "rejected our key; its operator must mend that")),
        row(402..=402, &[], ProviderError, FallBack, "wants to be paid first"),
        silent(row(403..=403, &[], ProviderError, FallBack, "does not let our key do this")),
        silent(row(434..=434, &[], ProviderError, FallBack, "does not let our key do this")),
        row(429..=429, &[], RateLimited, Throttle, "wants fewer calls"),
        row(529..=529, &[], ProviderUnavailable, Throttle, "is overloaded"),
        row(ANY, TOO_FAST, RateLimited, Throttle, "wants fewer calls"),
        row(404..=404, &[], NotFound, FallBack, "has no such model, or no such route"),
        row(410..=410, &[], NotFound, FallBack, "no longer serves this model"),
        row(413..=413, &[], TooLarge, Fatal, "the request is too large for it"),
        row(435..=435, &[], TooLarge, Fatal, "the request is too large for it"),
        row(400..=400, &[], InvalidRequest, Fatal, "refused the request"),
        row(422..=422, &[], InvalidRequest, Fatal, "refused the request"),
        row(408..=409, &[], ProviderUnavailable, Retry, "could not do it now"),
        row(425..=425, &[], ProviderUnavailable, Retry, "could not do it now"),
        row(400..=499, &[], ProviderError, FallBack, "refused the call"),
        row(ANY, UNWELCOME, InvalidRequest, Fatal, "refused the request"),
        row(503..=503, &[], ProviderUnavailable, Retry, "is overloaded or down"),
        row(
            300..=399,
            &[],
            ProviderError,
            FallBack,
            "moved: it answered with a redirect; base_url must name where it is",
        ),
        row(ANY, &[], ProviderUnavailable, Retry, "failed"),
    ]
};

/// The error of a reply whose status says that it is none.
pub(crate) fn of_status(endpoint: &Endpoint, status: u16, headers: &HeaderMap, body: &[u8]) -> Error {
    let mut error = classify(endpoint, status, &Said::read(body));
    error.upstream_status = Some(status);
    error.retry_after = wish(error.remedy, headers);
    error
}

/// When the provider wants to be asked again, where it is to be asked at all.
pub(crate) fn wish(remedy: Remedy, headers: &HeaderMap) -> Option<Duration> {
    let wish = || retry_after::read(headers, jiff::Timestamp::now());
    match remedy {
        Remedy::Throttle => wish().or_else(|| retry_after::read_rate_limit(headers)),
        Remedy::Retry => wish(),
        Remedy::FallBack | Remedy::Fatal => None,
    }
}

/// The error in a reply that began well. Its code may be a status (vLLM).
pub(crate) fn in_reply(endpoint: &Endpoint, body: &[u8]) -> Error {
    let said = Said::read(body);
    let status = said.code.as_deref().and_then(|code| code.parse().ok());
    let status = status.filter(|status| (400..=599).contains(status));
    let mut error = classify(endpoint, status.unwrap_or(500), &said);
    error.upstream_status = status;
    error
}

fn classify(endpoint: &Endpoint, status: u16, said: &Said) -> Error {
    let fits = |row: &&Row| {
        row.status.contains(&status) && (row.words.is_empty() || row.words.iter().any(|word| said.has(word)))
    };
    // The last row fits everything; it stands here again only because no type says so.
    let row = TABLE.iter().find(fits).unwrap_or(&TABLE[TABLE.len() - 1]);
    let message = match said.message.as_deref().map(|words| endpoint.quote(words)) {
        Some(words) if row.quotes && !words.is_empty() => format!("{}: {words}", row.says),
        _ => row.says.to_owned(),
    };
    Error::new(&endpoint.name, row.code, row.remedy, message)
}

/// What the body of an error says, in whichever form.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    message: Option<String>,
    kind: Option<String>,
    code: Option<String>,
}

impl Said {
    /// OpenAI `{"error":{…}}`, Ollama `{"error":"…"}`, older vLLM `{"object":"error",…}`, FastAPI `{"detail":…}`, Gemini
    /// `[{"error":{…}}]`, or plain text. A page of HTML says nothing to a client.
    fn read(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            let text = String::from_utf8_lossy(body);
            let text = text.trim();
            let message = (!text.is_empty() && !text.starts_with('<')).then(|| text.to_owned());
            return Self { message, ..Self::default() };
        };
        let value = value.get(0).unwrap_or(&value);
        let inner = value.get("error").filter(|inner| !inner.is_null()).unwrap_or(value);
        let text = |field: &str| inner.get(field).and_then(word);
        Self {
            message: text("message").or_else(|| text("detail")).or_else(|| word(inner)),
            kind: text("type"),
            code: text("code"),
        }
    }

    fn has(&self, word: &str) -> bool {
        [&self.kind, &self.code].into_iter().flatten().any(|said| said == word)
    }
}

/// A string as it is, a number or a list as text.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Array(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
