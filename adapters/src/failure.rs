//! The table of errors: what a provider's refusal means, and what to do about it.
//!
//! Codes in the body decide before the status does: a 429 may mean "slower" or "pay first". The first row that matches
//! wins. The client sees the provider's message if it is about the request; one about the provider goes to the log
//! only, and one that may mention our key goes nowhere.

use std::{ops::RangeInclusive, time::Duration};

use reqwest::header::HeaderMap;
use schemas::ErrorCode;
use serde_json::Value;

use crate::{Error, KeyFault, Remedy, endpoint::Endpoint, retry_after};

/// One row: matches a refusal whose status is in `status` and, if there are `words`, whose code or type is one of them.
struct Row {
    status: RangeInclusive<u16>,
    words: &'static [&'static str],
    code: ErrorCode,
    remedy: Remedy,
    /// What happened, with the provider as the subject.
    says: &'static str,
    /// Whether anybody may see the provider's own words.
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

/// Payment is missing. z.ai: 1113 arrears. Anthropic's spend limits come as 429, but waiting helps with none of them;
/// [`PER_DAY`]: waiting until tomorrow is no retry.
const UNPAID: &[&str] = &[
    "billing_error",
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "linked_organization_spend_limit_reached",
    "insufficient_quota",
    "credit_balance_exhausted",
    "billing_hard_limit_reached",
    "billing_not_active",
    "spend_limit_exceeded",
    "BILLING_DISABLED",
    PER_DAY,
    "1113",
];
/// z.ai's codes for an account that its owner must fix: locked, in debt, without a package, banned for its use.
const ACCOUNT: &[&str] = &["1110", "1111", "1112", "1120", "1121", "1309", "1313"];
/// z.ai: 1211 no such model.
const UNKNOWN_MODEL: &[&str] = &["model_not_found", "model_not_available", "1211"];
/// Gemini reports a wrong key with the status 400. z.ai: 1000 to 1004.
const BAD_KEY: &[&str] = &[
    "invalid_api_key",
    "authentication_error",
    "AuthenticationError",
    "API_KEY_INVALID",
    "UNAUTHENTICATED",
    "1000",
    "1001",
    "1002",
    "1003",
    "1004",
];
/// The key is valid but may not do this. z.ai: 1220 and 1221.
const FORBIDDEN: &[&str] = &["permission_error", "PERMISSION_DENIED", "1220", "1221"];
/// Gemini: not available to this account, or from this location.
const UNMET: &[&str] = &["FAILED_PRECONDITION"];
/// Ollama: this model cannot do it, others may.
const BEYOND: &[&str] = &[UNSUPPORTED];
/// z.ai: 1302 concurrency, 1303 frequency, 1305 overload.
const TOO_FAST: &[&str] = &[
    "rate_limit_exceeded",
    "rate_limit_error",
    "RateLimitError",
    "slow_down",
    "RESOURCE_EXHAUSTED",
    BUSY,
    "1302",
    "1303",
    "1305",
];
const OVERLOADED: &[&str] = &["overloaded_error"];
const NOT_FOUND: &[&str] = &["not_found_error"];
const TOO_LARGE: &[&str] = &["request_too_large"];
/// z.ai: 1231 the same request is in progress, 1234 its network failed.
const PASSING: &[&str] = &["1231", "1234"];
/// z.ai: 1210 and 1212 to 1215 a bad parameter, 1301 withheld content.
const UNWELCOME: &[&str] = &[
    "invalid_request_error",
    "BadRequestError",
    "context_length_exceeded",
    "content_filter",
    "content_policy_violation",
    "moderation_blocked",
    "INVALID_ARGUMENT",
    "1210",
    "1212",
    "1213",
    "1214",
    "1215",
    "1301",
];

const REJECTED: &str = "rejected our key; the operator of this server must fix that";
/// Part of the name of a daily limit of Gemini's, as in `GenerateRequestsPerDayPerProjectPerModel-FreeTier`.
const PER_DAY: &str = "PerDay";
const BUSY: &str = "server_busy";
const UNSUPPORTED: &str = "unsupported";

/// Ollama sends sentences instead of codes: a part of each, and the word that it stands for.
const SENTENCES: [(&str, &str); 3] =
    [("server busy", BUSY), ("too many requests", BUSY), ("does not support", UNSUPPORTED)];

/// Every status; errors inside an answer, which have no status of their own, count as 500.
const ANY: RangeInclusive<u16> = 0..=999;

const TABLE: &[Row] = {
    use ErrorCode::{InvalidRequest, NotFound, ProviderError, ProviderUnavailable, RateLimited, TooLarge};
    use KeyFault::{Rejected, Spent};
    use Remedy::{DisableKey, FallBack, Fatal, Retry, Throttle};
    &[
        row(ANY, UNPAID, ProviderError, DisableKey(Spent), "its quota or budget is spent"),
        row(ANY, UNKNOWN_MODEL, NotFound, FallBack, "does not serve this model"),
        silent(row(401..=401, &[], ProviderError, DisableKey(Rejected), REJECTED)),
        silent(row(ANY, BAD_KEY, ProviderError, DisableKey(Rejected), REJECTED)),
        silent(row(ANY, FORBIDDEN, ProviderError, FallBack, "does not let our key do this")),
        row(ANY, ACCOUNT, ProviderError, FallBack, "does not let our account do this"),
        row(ANY, UNMET, ProviderError, FallBack, "does not do this for our account"),
        row(ANY, BEYOND, InvalidRequest, FallBack, "cannot do this with this model"),
        row(402..=402, &[], ProviderError, DisableKey(Spent), "wants to be paid first"),
        silent(row(403..=403, &[], ProviderError, FallBack, "does not let our key do this")),
        silent(row(434..=434, &[], ProviderError, FallBack, "does not let our key do this")),
        row(429..=429, &[], RateLimited, Throttle, "wants fewer calls"),
        row(529..=529, &[], ProviderUnavailable, Throttle, "is overloaded"),
        row(ANY, TOO_FAST, RateLimited, Throttle, "wants fewer calls"),
        row(ANY, OVERLOADED, ProviderUnavailable, Throttle, "is overloaded"),
        row(ANY, PASSING, ProviderUnavailable, Retry, "could not do it now"),
        row(404..=404, &[], NotFound, FallBack, "has no such model, or no such route"),
        row(ANY, NOT_FOUND, NotFound, FallBack, "has no such model, or no such route"),
        row(410..=410, &[], NotFound, FallBack, "no longer serves this model"),
        row(413..=413, &[], TooLarge, Fatal, "the request is too large for it"),
        row(435..=435, &[], TooLarge, Fatal, "the request is too large for it"),
        row(ANY, TOO_LARGE, TooLarge, Fatal, "the request is too large for it"),
        row(400..=400, &[], InvalidRequest, Fatal, "refused the request"),
        row(422..=422, &[], InvalidRequest, Fatal, "refused the request"),
        row(408..=409, &[], ProviderUnavailable, Retry, "could not do it now"),
        row(425..=425, &[], ProviderUnavailable, Retry, "could not do it now"),
        row(499..=499, &[], ProviderUnavailable, Retry, "gave it up before its end"),
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

/// The error of a reply whose status is not a success.
pub(crate) fn of_status(endpoint: &Endpoint, status: u16, headers: &HeaderMap, body: &[u8]) -> Error {
    let said = Said::read(body);
    let mut error = classify(endpoint, status, &said);
    error.upstream_status = Some(status);
    error.retry_after = wish(error.remedy, headers, said.retry_after);
    error
}

/// How long the provider asks us to wait, if `remedy` calls it again at all; `said` is the wait that its body names.
pub(crate) fn wish(remedy: Remedy, headers: &HeaderMap, said: Option<Duration>) -> Option<Duration> {
    let now = jiff::Timestamp::now();
    let wish = || retry_after::read(headers, now).or(said);
    match remedy {
        Remedy::Throttle => wish().or_else(|| retry_after::read_rate_limit(headers, now)),
        Remedy::Retry => wish(),
        Remedy::DisableKey(_) | Remedy::FallBack | Remedy::Fatal => None,
    }
}

/// The error in a reply with a success status. Its code may be an HTTP status (vLLM).
pub(crate) fn in_reply(endpoint: &Endpoint, body: &[u8]) -> Error {
    let said = Said::read(body);
    let status = said.code.as_deref().and_then(|code| code.parse().ok());
    let status = status.filter(|status| (400..=599).contains(status));
    let mut error = classify(endpoint, status.unwrap_or(500), &said);
    error.upstream_status = status;
    error.retry_after = said.retry_after.filter(|_| matches!(error.remedy, Remedy::Throttle | Remedy::Retry));
    error
}

/// The error of a reply with a success status but without the answer: the error that it reports, else `what`.
pub(crate) fn of_reply(endpoint: &Endpoint, body: &[u8], what: &str) -> Error {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) if value.get("error").is_some() => in_reply(endpoint, body),
        _ => endpoint.nonsense(what),
    }
}

fn classify(endpoint: &Endpoint, status: u16, said: &Said) -> Error {
    let fits = |row: &&Row| {
        row.status.contains(&status) && (row.words.is_empty() || row.words.iter().any(|word| said.has(word)))
    };
    // The last row matches everything; it is repeated here only because no type says so.
    let row = TABLE.iter().find(fits).unwrap_or(&TABLE[TABLE.len() - 1]);
    let error = |message| Error::new(&endpoint.name, row.code, row.remedy, message);
    let words = said.message.as_deref().map(|words| endpoint.quote(words));
    match words.filter(|words| row.quotes && !words.is_empty()) {
        Some(words) if is_of_request(row.code) => error(format!("{}: {words}", row.says)),
        Some(words) => error(row.says.to_owned()).with_source(Words(words)),
        None => error(row.says.to_owned()),
    }
}

/// Whether an error is about the request: then the provider's message helps the client. A message about the provider's
/// own fault may reveal its internals, and is for the operator of this server.
const fn is_of_request(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::InvalidRequest | ErrorCode::NotFound | ErrorCode::TooLarge | ErrorCode::RateLimited
    )
}

/// A provider's own words, for the log.
#[derive(Debug, thiserror::Error)]
#[error("it said: {0}")]
struct Words(String);

/// What the body of an error says, whatever its form.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    message: Option<String>,
    code: Option<String>,
    /// Every word that a row may match: type, code, status, reasons.
    words: Vec<String>,
    /// How long the provider asks us to wait, if the body says so.
    retry_after: Option<Duration>,
}

impl Said {
    /// Reads OpenAI `{"error":{…}}`, Anthropic the same with its code in `details`, Ollama `{"error":"…"}`, older vLLM
    /// `{"object":"error",…}`, FastAPI `{"detail":…}`, Gemini `[{"error":{…}}]`, or plain text, but no page of HTML.
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
        let mut said = Self {
            message: text("message").or_else(|| text("detail")).or_else(|| word(inner)),
            code: text("code"),
            words: ["type", "code", "status"].into_iter().filter_map(text).collect(),
            retry_after: None,
        };
        said.read_details(inner);
        if let Some(sentence) = inner.as_str() {
            let known = SENTENCES.iter().find(|(part, _)| sentence.contains(part));
            said.words.extend(known.map(|(_, word)| (*word).to_owned()));
        }
        said
    }

    /// Reads Anthropic's details: a code. Google's: a reason, the limits that were hit, and when to retry.
    fn read_details(&mut self, error: &Value) {
        self.words.extend(error.get("details").and_then(|details| details.get("error_code")).and_then(word));
        for detail in error.get("details").and_then(Value::as_array).into_iter().flatten() {
            self.words.extend(detail.get("reason").and_then(word));
            let violations = detail.get("violations").and_then(Value::as_array).into_iter().flatten();
            let mut limits = violations.filter_map(|violation| violation.get("quotaId")?.as_str());
            if limits.any(|limit| limit.contains(PER_DAY)) {
                self.words.push(PER_DAY.to_owned());
            }
            let delay = detail.get("retryDelay").and_then(Value::as_str);
            self.retry_after = self.retry_after.or(delay.and_then(retry_after::read_text));
        }
    }

    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|said| said == word)
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
