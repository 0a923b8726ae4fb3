//! What a publisher sends: a request, its wishes, and the checks that need no configuration.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Action, Error, ErrorCode, Format, KeyId, KeyMode, RequestId, Secret, SentBy, Tenant, VERSION,
    signature::SigningKey,
};

/// The most metadata entries, as in the OpenAI API.
pub const METADATA_ENTRIES_MAX: usize = 16;
/// The longest waterfall that a request may name: each of its steps may be called, and costs.
pub const WATERFALL_STEPS_MAX: usize = 32;
/// The longest model name, and the longest step of a waterfall, in bytes: errors repeat them.
pub const NAME_BYTES_MAX: usize = 256;
/// The longest callback URL, in bytes: it is stored and shown.
pub const URL_BYTES_MAX: usize = 2_048;
/// The longest signing key of a callback, as written, in bytes: it travels with the outcome.
pub const SECRET_BYTES_MAX: usize = 512;
/// The longest deadline: a day, in milliseconds.
pub const DEADLINE_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// How deep a payload may nest: less than a message may, because the payload travels inside other messages.
pub const PAYLOAD_DEPTH_MAX: usize = 100;

/// The error message for a body that is not a request.
pub const EXPECTED: &str = "expected an object with `action` and `payload`";

/// One request, as on `dynode.req.<tenant>.<action>` and in `POST /v1/requests`.
///
/// Only `action` and `payload` are required; `id` and `tenant` come from the door or are generated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// The version of the contract; 1.
    #[serde(default = "current_version")]
    #[schemars(range(min = VERSION, max = VERSION))]
    pub v: u8,
    /// Identifies the request within its tenant. The same id again attaches to the same request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
    /// On the bus it must be that of the subject; at the gateway it is that of the API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Tenant>,
    /// The kind of work. On the bus, if it is absent, the subject says it.
    #[serde(default)]
    pub action: Action,
    /// The input, by action.
    pub payload: Value,
    /// How long the sender will wait, in milliseconds from acceptance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = DEADLINE_MS_MAX))]
    pub deadline_ms: Option<u64>,
    /// Who goes first when there is a queue.
    #[serde(default)]
    pub priority: Priority,
    /// Groups requests: costs can be summed by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<RequestId>,
    /// Wishes about the provider.
    #[serde(default, skip_serializing_if = "Route::is_empty")]
    pub route: Route,
    /// Where to deliver the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// The sender's own notes; returned in the outcome.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// By which key it came in: the gateway says so, whatever the sender claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_by: Option<SentBy>,
}

const fn current_version() -> u8 {
    VERSION
}

/// Who goes first when there is a queue.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody waits for it.
    Interactive,
    /// The default.
    #[default]
    Standard,
    /// Whenever there is room.
    Batch,
}

impl Priority {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Standard => "standard",
            Self::Batch => "batch",
        }
    }

    /// The priority of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Interactive, Self::Standard, Self::Batch]
            .into_iter()
            .find(|priority| priority.as_str() == name)
    }
}

/// Wishes about the provider; empty means "as configured".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    /// What to prefer if there is a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer: Option<Prefer>,
    /// Providers to try in this order, each `provider` or `provider/model`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = WATERFALL_STEPS_MAX))]
    pub waterfall: Vec<String>,
    /// The most that this request may be expected to cost, in US dollars: models that cost more, or whose price is not
    /// known, are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// What happens if a provider fails after part of its answer was shown; `restart` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_midstream_failure: Option<MidstreamFailure>,
    /// What happens to a chat that the model refuses; `return` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_refusal: Option<Unanswered>,
    /// What happens to a chat whose answer is empty: no text, no tool call, no refusal; `next` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_empty: Option<Unanswered>,
    /// If nothing of the answer has come after this many milliseconds, the next step of the plan is called as well, and
    /// the first to show something gives the answer. Only for a chat, and once; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge_ms: Option<u64>,
    /// Requests of the tenant that ask the same of the same models, and run at once in one engine, share one call. Only
    /// for requests with the same answer each time: embeddings, and those with a `seed` or a `temperature` of 0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single_flight: bool,
}

/// What happens to an answer that answers nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unanswered {
    /// It is the answer.
    Return,
    /// The next provider is asked. If none has a better answer, this one stands.
    Next,
    /// The request fails.
    Fail,
}

/// What happens if a provider fails after part of its answer was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MidstreamFailure {
    /// The answer begins anew, and readers are told (`restarted`).
    #[default]
    Restart,
    /// The next provider gets what was shown as the beginning of its answer, and the stream continues. If none can, the
    /// answer begins anew.
    Continue,
    /// The request fails.
    Fail,
}

impl Route {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What to prefer if there is a choice of providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prefer {
    /// The shortest time to the first event.
    Latency,
    /// The lowest price.
    Cost,
    /// The best rated answers.
    Quality,
}

/// Where to deliver the outcome: a POST, signed by Standard Webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Callback {
    /// An absolute `http` or `https` URL.
    pub url: String,
    /// The signing key, `whsec_` and base64; without one the engine's default key signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// A second key that also signs while one key replaces the other: the receiver needs to know only one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_secret: Option<Secret>,
}

impl Callback {
    /// Checks what can be checked without configuration; the error names the field by its path.
    pub fn check(&self) -> Result<(), Error> {
        check_length("callback.url", Some(self.url.len()), URL_BYTES_MAX)?;
        if !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            return Err(Error::invalid("callback.url", "expected an http:// or https:// URL"));
        }
        for (param, secret) in
            [("callback.secret", &self.secret), ("callback.second_secret", &self.second_secret)]
        {
            let Some(secret) = secret else { continue };
            check_length(param, Some(secret.expose().len()), SECRET_BYTES_MAX)?;
            SigningKey::parse(secret).map_err(|error| Error::invalid(param, error.to_string()))?;
        }
        if self.second_secret.is_some() && self.secret.is_none() {
            return Err(Error::invalid("callback.second_secret", "is for a callback that has a `secret`"));
        }
        Ok(())
    }
}

impl Request {
    /// A request with the defaults.
    pub fn new(action: Action, payload: Value) -> Self {
        Self {
            v: VERSION,
            id: None,
            tenant: None,
            action,
            payload,
            deadline_ms: None,
            priority: Priority::default(),
            session: None,
            route: Route::default(),
            callback: None,
            metadata: BTreeMap::new(),
            sent_by: None,
        }
    }

    /// Reads a request from the whole of `body`.
    pub fn read(format: Format, body: &[u8]) -> Result<Self, Error> {
        // serde would read a list as the fields in their order.
        if format.is_list(body) {
            return Err(Error::new(ErrorCode::InvalidRequest, EXPECTED));
        }
        format.decode(body)
    }

    /// Checks everything that can be checked without configuration; the error names the field by its path.
    pub fn check(&self) -> Result<(), Error> {
        if self.v != VERSION {
            return Err(Error::invalid("v", format!("this server speaks version {VERSION}, not {}", self.v)));
        }
        if let Some(milliseconds) = self.deadline_ms.filter(|ms| !(1..=DEADLINE_MS_MAX).contains(ms)) {
            let why = format!("{milliseconds} is not between 1 and {DEADLINE_MS_MAX}");
            return Err(Error::invalid("deadline_ms", why));
        }
        if self.metadata.len() > METADATA_ENTRIES_MAX {
            return Err(Error::invalid(
                "metadata",
                format!("at most {METADATA_ENTRIES_MAX} entries are kept"),
            ));
        }
        self.check_lengths()?;
        self.callback.as_ref().map_or(Ok(()), Callback::check)?;
        if self.route.max_cost_usd.is_some_and(|cost| !cost.is_finite() || cost < 0.0) {
            return Err(Error::invalid("route.max_cost_usd", "expected an amount of US dollars, 0 or more"));
        }
        match self.route.hedge_ms {
            Some(0) => return Err(Error::invalid("route.hedge_ms", "expected at least 1 millisecond")),
            Some(_) if self.action != Action::ChatCompletion => {
                let why = format!("`{}` is not hedged, only `{}`", self.action, Action::ChatCompletion);
                return Err(Error::invalid("route.hedge_ms", why));
            }
            _ => {}
        }
        if self.route.single_flight && !self.is_repeatable() {
            let why = "two such requests may be answered differently: give a `seed`, or a `temperature` of 0";
            return Err(Error::invalid("route.single_flight", why));
        }
        if !nests_within(&self.payload, PAYLOAD_DEPTH_MAX) {
            return Err(Error::invalid("payload", format!("nests deeper than {PAYLOAD_DEPTH_MAX} levels")));
        }
        self.action.check_payload(&self.payload)
    }

    fn check_lengths(&self) -> Result<(), Error> {
        let steps = &self.route.waterfall;
        if steps.len() > WATERFALL_STEPS_MAX {
            let why = format!("{} steps; at most {WATERFALL_STEPS_MAX} are tried", steps.len());
            return Err(Error::invalid("route.waterfall", why));
        }
        let longest = steps.iter().map(String::len).max();
        check_length("route.waterfall", longest, NAME_BYTES_MAX)?;
        check_length("payload.model", self.model().map(str::len), NAME_BYTES_MAX)
    }

    /// Whether it has the same answer each time, as far as its sender can say and its action is decided.
    fn is_repeatable(&self) -> bool {
        let number = |field: &str| self.payload.get(field).and_then(Value::as_f64);
        matches!(self.action, Action::EmbeddingQuery | Action::Auto)
            || number("seed").is_some()
            || number("temperature") == Some(0.0)
    }

    /// Whether the sender asked for deltas.
    pub fn wants_stream(&self) -> bool {
        self.payload.get("stream").and_then(Value::as_bool).unwrap_or(false)
    }

    /// The key with which it came in.
    pub fn key(&self) -> Option<&KeyId> {
        self.sent_by.as_ref().map(|sent_by| &sent_by.key)
    }

    /// Whether it may reach only simulated providers.
    pub fn is_test(&self) -> bool {
        self.sent_by.as_ref().is_some_and(|sent_by| sent_by.mode == KeyMode::Test)
    }

    /// The model that the payload names.
    pub fn model(&self) -> Option<&str> {
        self.payload.get("model").and_then(Value::as_str)
    }
}

fn check_length(param: &'static str, length: Option<usize>, most: usize) -> Result<(), Error> {
    match length {
        Some(length) if length > most => Err(Error::invalid(param, format!("is longer than {most} bytes"))),
        _ => Ok(()),
    }
}

fn nests_within(value: &Value, levels: usize) -> bool {
    let inside = |inner: &Value| levels > 0 && nests_within(inner, levels - 1);
    match value {
        Value::Array(items) => items.iter().all(inside),
        Value::Object(fields) => fields.values().all(inside),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chat() -> Request {
        let payload = json!({"model": "sim-chat", "messages": [{"role": "user", "content": "hi"}]});
        Request::new(Action::ChatCompletion, payload)
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let request: Request =
            serde_json::from_value(json!({"action": "auto", "payload": {}, "future": [1, 2]})).unwrap();
        assert_eq!(request.action, Action::Auto);
    }

    #[test]
    fn a_list_is_no_request() {
        let list = json!([1, "an-id", null, "chat.completion", {"model": "m", "messages": []}]);
        for format in [Format::Json, Format::MessagePack] {
            let error = Request::read(format, &format.encode(&list).unwrap()).unwrap_err();
            assert_eq!((error.code, error.message.as_str()), (ErrorCode::InvalidRequest, EXPECTED));
            let request = Request::read(format, &format.encode(&chat()).unwrap());
            assert_eq!(request, Ok(chat()));
        }
    }

    #[test]
    fn limits_are_checked_by_path() {
        let at = |request: Request| request.check().unwrap_err().param.unwrap();
        assert!(chat().check().is_ok());
        assert_eq!(at(Request { v: 2, ..chat() }), "v");
        assert_eq!(at(Request { deadline_ms: Some(0), ..chat() }), "deadline_ms");
        let long = "m".repeat(NAME_BYTES_MAX + 1);
        for waterfall in [vec!["sim".to_owned(); WATERFALL_STEPS_MAX + 1], vec![long.clone()]] {
            let route = Route { waterfall, ..Route::default() };
            assert_eq!(at(Request { route, ..chat() }), "route.waterfall");
        }
        let mut payload = chat().payload;
        payload["model"] = json!(long);
        assert_eq!(at(Request { payload, ..chat() }), "payload.model");
        for cost in [-0.1, f64::NAN, f64::INFINITY] {
            let route = Route { max_cost_usd: Some(cost), ..Route::default() };
            assert_eq!(at(Request { route, ..chat() }), "route.max_cost_usd");
        }
        let route = Route { hedge_ms: Some(0), ..Route::default() };
        assert_eq!(at(Request { route, ..chat() }), "route.hedge_ms");
        let route = Route { single_flight: true, ..Route::default() };
        assert_eq!(at(Request { route, ..chat() }), "route.single_flight");
        let route = Route { hedge_ms: Some(9), ..Route::default() };
        let embedding = Request::new(Action::EmbeddingQuery, serde_json::json!({"model": "m", "input": "x"}));
        assert_eq!(at(Request { route, ..embedding }), "route.hedge_ms");
        let mut payload = chat().payload;
        payload["deep"] = (0..PAYLOAD_DEPTH_MAX).fold(json!(0), |inner, _| json!([inner]));
        assert_eq!(at(Request { payload, ..chat() }), "payload");
    }

    #[test]
    fn a_callback_that_nobody_could_be_sent_is_told_by_the_field() {
        const GOOD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let at = |url: &str, secret: Option<&str>, second: Option<&str>| {
            let (secret, second_secret) = (secret.map(Secret::new), second.map(Secret::new));
            let callback = Callback { url: url.to_owned(), secret, second_secret };
            let error = Request { callback: Some(callback), ..chat() }.check().err()?;
            assert!(!error.message.contains("whsec_short"), "{error:?}");
            error.param
        };
        let url = "https://x";
        let long = format!("whsec_{}", "A".repeat(SECRET_BYTES_MAX));
        assert_eq!(at(url, None, None), None);
        assert_eq!(at(url, Some(GOOD), Some(GOOD)), None);
        assert_eq!(at("ftp://x", None, None).as_deref(), Some("callback.url"));
        assert_eq!(
            at(&format!("{url}/{}", "y".repeat(URL_BYTES_MAX)), None, None).as_deref(),
            Some("callback.url")
        );
        for wrong in ["hunter2", "whsec_short", &long] {
            assert_eq!(at(url, Some(wrong), None).as_deref(), Some("callback.secret"), "{wrong}");
            assert_eq!(
                at(url, Some(GOOD), Some(wrong)).as_deref(),
                Some("callback.second_secret"),
                "{wrong}"
            );
        }
        assert_eq!(at(url, None, Some(GOOD)).as_deref(), Some("callback.second_secret"));
    }

    #[test]
    fn a_callback_secret_is_not_printed() {
        let secret = Some(Secret::new("whsec_canary"));
        let request = Request {
            callback: Some(Callback { url: "https://x".into(), second_secret: secret.clone(), secret }),
            ..chat()
        };
        assert!(!format!("{request:?}").contains("canary"));
    }
}
