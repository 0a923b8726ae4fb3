//! The configuration file that the harness writes for the engine: short leases and timeouts, so that what takes minutes
//! in production takes seconds here. Everything else is tested with its default.

use std::{io, net::SocketAddr, path::Path};

use schemas::{ApiKey, Secret};

use crate::run::{casting, scenario::Settings};

/// How long a worker holds a message without renewing, in milliseconds: the shortest that the engine accepts.
pub(crate) const LEASE_MS: u64 = 3_000;
/// How long the provider may be silent, before its first event and between two events, in milliseconds.
pub(crate) const SILENCE_MS: u64 = 2_000;
/// The longest provider call, in milliseconds.
pub(crate) const CALL_MS_MAX: u64 = 8_000;
/// How long a runtime may stand still, in milliseconds.
pub(crate) const NO_PROGRESS_KILL_MS: u64 = 4_000;
/// How long running work may take to finish after SIGTERM, in milliseconds.
pub(crate) const DRAIN_MS: u64 = 5_000;
/// The deadline of requests that name none, in milliseconds.
pub(crate) const DEADLINE_MS: u64 = 20_000;
/// How many attempts a callback gets.
pub(crate) const CALLBACK_TRIES_MAX: u32 = 6;
/// The largest body and frame, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;

/// What the engine must know about its surroundings.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// The provider's address, as seen from the engine.
    pub(crate) provider: SocketAddr,
    /// The file that holds the provider's key.
    pub(crate) provider_key_file: &'a Path,
    /// The broker's URL with its password, as seen from the engine.
    pub(crate) broker: &'a Secret,
    /// The API key of the clients.
    pub(crate) client_key: &'a Secret,
}

/// The text of the file.
pub(crate) fn text(settings: &Settings, around: &Surroundings<'_>) -> io::Result<String> {
    let Settings { attempts_max, retries, queued_max, stream_mib, silence_kill_ms, .. } = *settings;
    let admitted_max = (queued_max / 2).max(1);
    let stream_bytes = stream_mib << 20;
    let text = format!(
        r#"broker = {broker:?}
log = "info,async_nats=warn"

[gateway]
body_bytes_max = {BODY_BYTES_MAX}
frame_bytes_max = {BODY_BYTES_MAX}
default_deadline_ms = {DEADLINE_MS}
resume_wait_ms = {resume_wait_ms}
drain_timeout_ms = {DRAIN_MS}
write_timeout_ms = 5000
ping_interval_ms = 2000
socket_idle_timeout_ms = 15000
queue_max = {admitted_max}

[streams]
queued_max = {queued_max}
stream_bytes_max = {stream_bytes}
duplicate_window_seconds = 60

[assets]
bytes_max = {stream_bytes}
store_bytes_max = {stream_bytes}

[engine]
lease_ms = {LEASE_MS}
attempts_max = {attempts_max}
retries = {retries}
default_deadline_ms = {DEADLINE_MS}
first_event_ms = {SILENCE_MS}
between_events_ms = {SILENCE_MS}
total_ms = {CALL_MS_MAX}
drain_ms = {DRAIN_MS}
heartbeat_ms = 250

[callbacks]
attempts_max = {CALLBACK_TRIES_MAX}
timeout_ms = 1000
retry_first_ms = 200
retry_longest_ms = 2000
allow_networks = ["127.0.0.0/8"]

[watchdog]
no_progress_kill_ms = {NO_PROGRESS_KILL_MS}
silence_kill_ms = {silence_kill_ms}
disconnect_kill_ms = 60000
"#,
        broker = around.broker.expose(),
        resume_wait_ms = 2 * LEASE_MS,
    );
    Ok(text + &provider(settings, around) + MODELS + &keys(around.client_key)?)
}

/// The hash of the clients' API key: no other key is accepted.
fn keys(client: &Secret) -> io::Result<String> {
    let key = ApiKey::parse(client.expose()).map_err(io::Error::other)?;
    let (id, hash, tenant) = (key.id(), gateway::config_hash(&key), casting::DEFAULT);
    Ok(format!("\n[[keys]]\nid = \"{id}\"\nhash = \"{hash}\"\ntenant = \"{tenant}\"\n"))
}

/// The section about the provider.
fn provider(settings: &Settings, around: &Surroundings<'_>) -> String {
    let rate = settings.rate.map(|rate| format!("requests_per_minute = {rate}\n")).unwrap_or_default();
    format!(
        r#"
[providers]
sim = false

[providers.upstream]
kind = "openai_compatible"
base_url = "http://{provider}/v1"
api_key_file = {key:?}
concurrency = {concurrency}
{rate}"#,
        provider = around.provider,
        key = around.provider_key_file.display().to_string(),
        concurrency = settings.concurrency,
    )
}

/// The model whose calls spin.
pub(crate) const SPINNING_MODEL: &str = "chaos-spin";

/// The models: those of the provider, and one of the engine's own process that can be made to spin.
const MODELS: &str = r#"
[providers.upstream.models.chaos-chat]
upstream = "sim"

[providers.upstream.models.chaos-embed]
upstream = "sim"
action = "embedding.query"

[providers.spinner]
kind = "simulated"

[providers.spinner.models.chaos-spin]
spin_after_tokens = 2
"#;
