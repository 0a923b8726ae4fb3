//! The settings that belong to no other crate: the broker, log format, streams, ledger, assets, classifier, telemetry.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// Which broker carries the messages.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum BrokerChoice {
    /// `managed` if a `nats-server` is found, else `memory`.
    Auto,
    /// In this process.
    Memory,
    /// A `nats-server` as a child process.
    Managed,
    /// External servers: URLs separated by commas.
    Servers(String),
}

impl FromStr for BrokerChoice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_server = |url: &str| url.starts_with("nats://") || url.starts_with("tls://");
        match text {
            "auto" => Ok(Self::Auto),
            "memory" => Ok(Self::Memory),
            "managed" => Ok(Self::Managed),
            _ if text.split(',').all(is_server) => Ok(Self::Servers(text.to_owned())),
            // The error does not quote the text: a mistyped URL may hold a password.
            _ => Err("expected `auto`, `memory`, `managed` or a URL such as `nats://127.0.0.1:4222`"),
        }
    }
}

impl<'de> Deserialize<'de> for BrokerChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Debug for BrokerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("Auto"),
            Self::Memory => f.write_str("Memory"),
            Self::Managed => f.write_str("Managed"),
            Self::Servers(_) => f.write_str("Servers([redacted])"),
        }
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

/// `[streams]`: how much the streams hold, and for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Streams {
    /// The most requests that wait in a queue.
    pub(crate) queued_max: u64,
    /// The most bytes of each stream on disk.
    pub(crate) stream_bytes_max: u64,
    /// How long events can be replayed.
    pub(crate) events_minutes: u64,
    /// The most bytes of events.
    pub(crate) events_bytes_max: u64,
    /// How long outcomes are kept.
    pub(crate) outcomes_hours: u64,
    /// How long parked work is kept.
    pub(crate) dead_days: u64,
    /// How long the broker itself recognises a repeated id.
    pub(crate) duplicate_window_seconds: u64,
}

/// `[ledger]`: what each request has used.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ledger {
    /// How long the ledger is kept; 0 keeps nothing.
    pub(crate) keep_days: u64,
}

impl Streams {
    /// The same limits as the broker takes them, with those of `ledger`.
    pub(crate) const fn limits(&self, ledger: &Ledger) -> broker::Limits {
        broker::Limits {
            queued_max: self.queued_max,
            stream_bytes_max: self.stream_bytes_max,
            events_age: Duration::from_secs(self.events_minutes.saturating_mul(60)),
            events_bytes_max: self.events_bytes_max,
            outcomes_age: Duration::from_secs(self.outcomes_hours.saturating_mul(60 * 60)),
            ledger_age: Duration::from_secs(ledger.keep_days.saturating_mul(24 * 60 * 60)),
            dead_age: Duration::from_secs(self.dead_days.saturating_mul(24 * 60 * 60)),
            duplicate_window: Duration::from_secs(self.duplicate_window_seconds),
        }
    }
}

/// `[assets]`: the files that providers make.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assets {
    /// The largest file.
    pub(crate) bytes_max: u64,
    /// The most bytes of all files together.
    pub(crate) store_bytes_max: u64,
    /// How long a file is kept.
    pub(crate) keep_hours: u64,
    /// How long a signed link is valid.
    pub(crate) link_minutes: u64,
}

impl Assets {
    /// The same limits as the store takes them.
    pub(crate) const fn limits(&self) -> broker::AssetLimits {
        broker::AssetLimits {
            bytes_max: self.bytes_max,
            store_bytes_max: self.store_bytes_max,
            keep: Duration::from_secs(self.keep_hours.saturating_mul(60 * 60)),
            link: Duration::from_secs(self.link_minutes.saturating_mul(60)),
        }
    }
}

/// `[classifier]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Classifier {
    /// The rules that choose the action of an `auto` request; the first match wins.
    pub(crate) rules: Vec<actors::RuleConfig>,
}

/// `[telemetry]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TelemetryConfig {
    /// Where to send spans, by OTLP over HTTP; empty sends none.
    pub(crate) otlp_endpoint: String,
}
