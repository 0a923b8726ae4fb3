//! The settings of a simulated engine: the default configuration, made small and quick where it matters.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Broken, scenario::Setup};

/// The default configuration, word for word, so that a new setting is simulated as shipped.
const DEFAULT: &str = include_str!("../../../config/default.toml");
/// How often the engine asks a provider again within one attempt.
pub(super) const RETRIES: u32 = 2;
/// The longest silence between two tokens.
pub(super) const SILENCE_MS: u64 = 5_000;
/// The longest call; also the longest silence of one that is not streamed.
pub(super) const CALL_MS: u64 = 20_000;
/// How long a drain lets work go on, in an engine and in a gateway: shorter than many calls.
pub(super) const DRAIN_MS: u64 = 1_000;
/// How long a target of callbacks may take to answer.
pub(super) const CALLBACK_MS: u64 = 2_000;
/// How long a key rests after its quota is spent.
pub(super) const KEY_REST_MS: u64 = 4_000;
/// How often the engine tries a callback.
const CALLBACK_TRIES: u32 = 4;
/// The longest pause between two tries.
const CALLBACK_PAUSE_MS: u64 = 5_000;

/// `[engine]`.
pub(super) fn engine(setup: &Setup) -> Result<actors::EngineConfig, Broken> {
    let changes = json!({
        "classifier_concurrency": setup.concurrency,
        "delivery_concurrency": setup.concurrency,
        "lease_ms": setup.lease_ms,
        "attempts_max": setup.attempts_max,
        "retries": RETRIES,
        "first_event_ms": SILENCE_MS,
        "between_events_ms": SILENCE_MS,
        "total_ms": CALL_MS,
        "drain_ms": DRAIN_MS,
    });
    section("engine", &changes)
}

/// `[callbacks]`.
pub(super) fn callbacks() -> Result<actors::CallbackConfig, Broken> {
    let changes = json!({
        "attempts_max": CALLBACK_TRIES,
        "timeout_ms": CALLBACK_MS,
        "retry_first_ms": 500,
        "retry_longest_ms": CALLBACK_PAUSE_MS,
    });
    section("callbacks", &changes)
}

/// `[gateway]`, for one tenant.
pub(super) fn gateway(tenant: &schemas::Tenant) -> Result<gateway::Config, Broken> {
    let changes = json!({
        "listen": "0.0.0.0:0",
        "tenant": tenant,
        "body_bytes_max": 64 << 10,
        "frame_bytes_max": 64 << 10,
        "write_timeout_ms": 5_000,
        "socket_requests_max": 16,
        "socket_sessions_max": 4,
        "socket_queue_frames_max": 16,
        "resume_wait_ms": 5_000,
        // There are no keys.
        "key_refresh_ms": 3_600_000,
        "drain_timeout_ms": DRAIN_MS,
    });
    section("gateway", &changes)
}

/// `[[classifier.rules]]`.
pub(super) fn rules() -> Result<Vec<actors::RuleConfig>, Broken> {
    read(&value("classifier")?["rules"])
}

/// One section of the default configuration, changed.
fn section<T: DeserializeOwned>(name: &str, changes: &Value) -> Result<T, Broken> {
    let mut section = value(name)?;
    for (key, change) in changes.as_object().into_iter().flatten() {
        section[key] = change.clone();
    }
    read(&section)
}

fn value(name: &str) -> Result<Value, Broken> {
    let mut all: Value = toml::from_str(DEFAULT).map_err(|error| Broken::Settings(error.to_string()))?;
    Ok(all[name].take())
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Broken> {
    serde_json::from_value(value.clone()).map_err(|error| Broken::Settings(error.to_string()))
}
