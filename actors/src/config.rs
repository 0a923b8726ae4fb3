//! The settings of the engine; the default configuration holds their defaults and the reasons for them.

use std::{collections::BTreeMap, time::Duration};

use adapters::{Adaptive, egress::Guard};
use ipnet::IpNet;
use schemas::{Action, Secret};
use serde::Deserialize;

/// `[engine]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// The most requests classified at once, per process.
    pub classifier_concurrency: u32,
    /// The most callbacks delivered at once, per process.
    pub delivery_concurrency: u32,
    /// How long a worker holds a message without renewing, in milliseconds.
    pub lease_ms: u64,
    /// How often work is delivered before the engine gives it up.
    pub attempts_max: u32,
    /// How often a provider is asked again within one attempt.
    pub retries: u32,
    /// The deadline of a request that names none, in milliseconds.
    pub default_deadline_ms: u64,
    /// The longest silence before the first event of a provider, in milliseconds.
    pub first_event_ms: u64,
    /// The longest silence between two events of a provider, in milliseconds.
    pub between_events_ms: u64,
    /// The longest call of a provider, in milliseconds; for a call that is not streamed, also its longest silence.
    pub total_ms: u64,
    /// How long running work may take to finish when the engine stops, in milliseconds.
    pub drain_ms: u64,
    /// The time between two heartbeats, in milliseconds.
    pub heartbeat_ms: u64,
    /// The estimated wait above which a pool asks publishers to wait, in milliseconds.
    pub pause_wait_ms: u64,
    /// The estimated wait below which publishers may go on, in milliseconds.
    pub resume_wait_ms: u64,
}

impl EngineConfig {
    /// How long a lease lasts.
    pub const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// The longest silence before the first event.
    pub const fn first_event(&self) -> Duration {
        Duration::from_millis(self.first_event_ms)
    }

    /// The longest silence between two events.
    pub const fn between_events(&self) -> Duration {
        Duration::from_millis(self.between_events_ms)
    }

    /// The time between two heartbeats.
    pub const fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }

    /// The longest call.
    pub const fn total(&self) -> Duration {
        Duration::from_millis(self.total_ms)
    }
}

/// One `[[classifier.rules]]`: the first that fits decides the action of an `auto` request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// A JSON pointer into the payload; the rule fits if it finds a value.
    pub when: String,
    /// A regular expression that the value must match as well; only a text can.
    #[serde(default)]
    pub matches: Option<String>,
    /// The action that it decides on.
    pub action: Action,
}

/// `[callbacks]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallbackConfig {
    /// How often a callback is tried before it is parked.
    pub attempts_max: u32,
    /// How long a target may take to answer, in milliseconds.
    pub timeout_ms: u64,
    /// The delay after the first failure, in milliseconds; it doubles with each further one.
    pub retry_first_ms: u64,
    /// The longest delay between two tries, in milliseconds.
    pub retry_longest_ms: u64,
    /// How many callbacks in a row a target may miss before nothing more is sent there; 0 is without end.
    pub disable_after: u32,
    /// Private networks that callbacks may reach nevertheless, such as `10.0.0.0/8`.
    #[serde(default)]
    pub allow_networks: Vec<IpNet>,
    /// Signs the callbacks of requests without a secret of their own: `whsec_` and base64.
    #[serde(default)]
    pub default_secret: Option<Secret>,
    /// A second key that signs these as well, while one key replaces the other.
    #[serde(default)]
    pub default_second_secret: Option<Secret>,
}

impl CallbackConfig {
    /// Where callbacks may go.
    pub(crate) fn guard(&self) -> Guard {
        Guard::new(self.allow_networks.clone(), "callbacks.allow_networks")
    }
}

/// The limits of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderLimits {
    /// The most calls at once, per process.
    pub concurrency: u32,
    /// The most calls that start in any minute, per key; none means no limit.
    pub requests_per_minute: Option<u32>,
    /// The most tokens that calls use in any minute, per key; none means no limit.
    pub tokens_per_minute: Option<u32>,
    /// How the engine finds the number of calls at once, below `concurrency`.
    pub adaptive: Adaptive,
    /// How long a key rests after its quota is spent.
    pub key_rest: Duration,
}

impl Default for ProviderLimits {
    /// 64 calls at once, any number a minute.
    fn default() -> Self {
        Self {
            concurrency: 64,
            requests_per_minute: None,
            tokens_per_minute: None,
            adaptive: Adaptive::Off,
            key_rest: Duration::from_secs(300),
        }
    }
}

/// The limits of every provider by its configured name.
pub type Providers = BTreeMap<String, ProviderLimits>;
