//! Checks what types cannot express: ranges, and settings that must agree with each other.

use actors::BudgetConfig;
use adapters::Registry;
use gateway::{KeyConfig, LimitConfig, TenantConfig};
use schemas::{Subjects, request::DEADLINE_MS_MAX};
use tracing_subscriber::EnvFilter;

use super::{BrokerChoice, Config};

/// A worker would renew a shorter lease several times a second for every running request.
const LEASE_MS_MIN: u64 = 3_000;
/// With less, a busy machine looks like a stalled provider.
const SILENCE_MS_MIN: u64 = 1_000;
/// With each heartbeat, each pool asks the broker for its backlog.
const HEARTBEAT_MS_MIN: u64 = 100;
/// One heartbeat may be lost, and one late.
const BEATS_MISSED: u64 = 3;
/// Each process has its own pools and connection; more on one machine gain nothing.
const WORKERS_MAX: u64 = 256;

/// An invalid setting.
pub(super) struct Fault {
    pub(super) path: String,
    pub(super) why: String,
}

impl Fault {
    fn new(path: impl Into<String>, why: impl ToString) -> Self {
        Self { path: path.into(), why: why.to_string() }
    }
}

/// Checks everything that needs no broker and no network. Returns the first fault, or the providers: building them is
/// the only way to check them.
pub(super) fn check(config: &mut Config) -> Result<Registry, Fault> {
    if config
        .listen
        .rsplit_once(':')
        .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
    {
        return Err(Fault::new("listen", "expected an address and a port, such as `127.0.0.1:8321`"));
    }
    Subjects::new(&config.prefix).map_err(|error| Fault::new("prefix", error))?;
    EnvFilter::try_new(&config.log).map_err(|error| {
        Fault::new("log", format!("{error}; expected a filter such as `info,actors=debug`"))
    })?;
    config.gateway.check().map_err(|text| {
        let (path, why) = text.split_once(": ").unwrap_or(("gateway", &text));
        Fault::new(path, why)
    })?;
    ranges(config)?;
    agreements(config)?;
    rules(config)?;
    let endpoint = &config.telemetry.otlp_endpoint;
    if !endpoint.is_empty() && !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        return Err(Fault::new("telemetry.otlp_endpoint", "expected an http:// or https:// URL, or nothing"));
    }
    let registry = Registry::build(&config.providers).map_err(|error| Fault::new(error.path, error.why))?;
    if config.gateway.public_url.is_empty()
        && let Some((name, _)) = registry.webhooks().iter().find(|(_, webhooks)| webhooks.are_needed)
    {
        let why = format!(
            "is needed by `providers.{name}`, which tells the end of its work by webhooks: set it to the address under \
             which providers reach this gateway, such as \"https://ai.example.com\""
        );
        return Err(Fault::new("gateway.public_url", why));
    }
    config.settle(&registry);
    config.waterfalls.check(&registry).map_err(|error| Fault::new(error.path, error.why))?;
    let budgets = BudgetConfig::check(&config.budgets, &config.parents());
    budgets.map_err(|error| Fault::new(error.path, error.why))?;
    TenantConfig::check(&config.tenants).map_err(|(path, why)| Fault::new(path, why))?;
    LimitConfig::check(&config.limits, &config.tenants).map_err(|(path, why)| Fault::new(path, why))?;
    KeyConfig::check(&config.keys).map_err(|(path, why)| Fault::new(path, why))?;
    Ok(registry)
}

fn ranges(config: &Config) -> Result<(), Fault> {
    let (engine, callbacks, streams) = (&config.engine, &config.callbacks, &config.streams);
    let assets = &config.assets;
    let table = [
        ("workers", config.workers.into(), 0, WORKERS_MAX),
        ("engine.classifier_concurrency", engine.classifier_concurrency.into(), 1, 65_536),
        ("engine.delivery_concurrency", engine.delivery_concurrency.into(), 1, 65_536),
        ("engine.lease_ms", engine.lease_ms, LEASE_MS_MIN, 600_000),
        ("engine.attempts_max", engine.attempts_max.into(), 1, 100),
        ("engine.retries", engine.retries.into(), 0, 100),
        ("engine.default_deadline_ms", engine.default_deadline_ms, 1, DEADLINE_MS_MAX),
        ("engine.first_event_ms", engine.first_event_ms, SILENCE_MS_MIN, DEADLINE_MS_MAX),
        ("engine.between_events_ms", engine.between_events_ms, SILENCE_MS_MIN, DEADLINE_MS_MAX),
        ("engine.total_ms", engine.total_ms, SILENCE_MS_MIN, DEADLINE_MS_MAX),
        ("engine.drain_ms", engine.drain_ms, 0, 600_000),
        ("engine.heartbeat_ms", engine.heartbeat_ms, HEARTBEAT_MS_MIN, 60_000),
        ("engine.pause_wait_ms", engine.pause_wait_ms, 1, DEADLINE_MS_MAX),
        ("engine.resume_wait_ms", engine.resume_wait_ms, 1, DEADLINE_MS_MAX),
        ("watchdog.no_progress_kill_ms", config.watchdog.no_progress_kill_ms, SILENCE_MS_MIN, 600_000),
        ("watchdog.disconnect_kill_ms", config.watchdog.disconnect_kill_ms, SILENCE_MS_MIN, 3_600_000),
        ("watchdog.silence_kill_ms", config.watchdog.silence_kill_ms, SILENCE_MS_MIN, 600_000),
        ("callbacks.attempts_max", callbacks.attempts_max.into(), 1, 100),
        ("callbacks.timeout_ms", callbacks.timeout_ms, 1, 600_000),
        ("callbacks.retry_first_ms", callbacks.retry_first_ms, 1, DEADLINE_MS_MAX),
        ("streams.queued_max", streams.queued_max, 1, u64::MAX),
        ("streams.stream_bytes_max", streams.stream_bytes_max, 1 << 20, u64::MAX),
        ("streams.events_minutes", streams.events_minutes, 1, 24 * 60),
        ("streams.events_bytes_max", streams.events_bytes_max, 1 << 20, u64::MAX),
        ("streams.outcomes_hours", streams.outcomes_hours, 1, 10 * 365 * 24),
        ("streams.dead_days", streams.dead_days, 1, 10 * 365),
        ("streams.duplicate_window_seconds", streams.duplicate_window_seconds, 1, 24 * 60 * 60),
        ("ledger.keep_days", config.ledger.keep_days, 0, 10 * 365),
        ("assets.bytes_max", assets.bytes_max, 1, 1 << 40),
        ("assets.store_bytes_max", assets.store_bytes_max, 1 << 20, u64::MAX),
        ("assets.keep_hours", assets.keep_hours, 1, 10 * 365 * 24),
        ("assets.link_minutes", assets.link_minutes, 1, 10 * 365 * 24 * 60),
    ];
    for (path, value, least, most) in table {
        if value < least {
            return Err(Fault::new(path, format!("{value} is too small; the least is {least}")));
        }
        if value > most {
            return Err(Fault::new(path, format!("{value} is too large; the most is {most}")));
        }
    }
    Ok(())
}

fn agreements(config: &Config) -> Result<(), Fault> {
    let (engine, callbacks, streams) = (&config.engine, &config.callbacks, &config.streams);
    if config.workers > 0 && config.broker == BrokerChoice::Memory {
        let why = "worker processes cannot reach a broker in the memory of this one: set `broker` to \"managed\" or to \
                   a nats:// URL, or `workers` to 0";
        return Err(Fault::new("workers", why));
    }
    if config.watchdog.silence_kill_ms < engine.heartbeat_ms.saturating_mul(BEATS_MISSED) {
        let why =
            format!("must be at least {BEATS_MISSED} times engine.heartbeat_ms ({})", engine.heartbeat_ms);
        return Err(Fault::new("watchdog.silence_kill_ms", why));
    }
    if engine.resume_wait_ms >= engine.pause_wait_ms {
        let why = format!("must be less than engine.pause_wait_ms ({})", engine.pause_wait_ms);
        return Err(Fault::new("engine.resume_wait_ms", why));
    }
    if streams.duplicate_window_seconds.saturating_mul(1_000) <= engine.lease_ms {
        let why = format!(
            "{} s is not longer than engine.lease_ms ({}): work that is handed on twice would run twice",
            streams.duplicate_window_seconds, engine.lease_ms
        );
        return Err(Fault::new("streams.duplicate_window_seconds", why));
    }
    if streams.duplicate_window_seconds > streams.events_minutes.saturating_mul(60) {
        return Err(Fault::new(
            "streams.duplicate_window_seconds",
            "must not be longer than streams.events_minutes: a broker refuses a window longer than the age",
        ));
    }
    if config.assets.store_bytes_max < config.assets.bytes_max {
        let why = format!("must be at least assets.bytes_max ({})", config.assets.bytes_max);
        return Err(Fault::new("assets.store_bytes_max", why));
    }
    if callbacks.retry_longest_ms < callbacks.retry_first_ms {
        let why = format!("must not be shorter than callbacks.retry_first_ms ({})", callbacks.retry_first_ms);
        return Err(Fault::new("callbacks.retry_longest_ms", why));
    }
    Ok(())
}

fn rules(config: &Config) -> Result<(), Fault> {
    for (index, rule) in config.classifier.rules.iter().enumerate() {
        if !rule.when.is_empty() && !rule.when.starts_with('/') {
            let why = "expected a JSON pointer such as `/messages`";
            return Err(Fault::new(format!("classifier.rules[{index}].when"), why));
        }
        if let Some(Err(error)) = rule.matches.as_deref().map(regex::Regex::new) {
            return Err(Fault::new(format!("classifier.rules[{index}].matches"), error));
        }
    }
    Ok(())
}
