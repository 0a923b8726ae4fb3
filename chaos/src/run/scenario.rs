//! A scenario, as data: what goes wrong, when, for how long and to what, and which guarantees that tests. It never does
//! anything.

use std::time::Duration;

use crate::{Guarantee, workload::Profile};

/// One named misfortune.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens, in one sentence.
    pub about: &'static str,
    /// The guarantees that it targets; the others are checked as well.
    pub aims: &'static [Guarantee],
    /// What goes wrong, in order of time.
    pub steps: &'static [Step],
    /// How long the load continues during the faults.
    pub fault_seconds: u64,
    /// The settings of the engine.
    pub settings: Settings,
    /// How the load during the faults differs from the usual.
    pub load: Load,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// When it starts, in milliseconds from the start of the faults.
    pub at_ms: u64,
    /// How long it lasts.
    pub lasts_ms: u64,
    /// What goes wrong.
    pub fault: Fault,
}

/// A fault. Each is undone at the end of its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Kills a process, and restarts it at the end of the step unless its parent does.
    Kill(Victim),
    /// Kills a process again and again, with a pause of this many milliseconds before each kill.
    Storm(Victim, u64),
    /// Stops a process (SIGSTOP), and resumes it at the end of the step.
    Freeze(Victim),
    /// Asks a process to end (SIGTERM), and restarts it at the end of the step.
    Terminate(Victim),
    /// Sends a request that makes its worker spin: its thread computes for ever.
    Spin,
    /// Makes a link misbehave, in the grammar of [`crate::proxy`].
    Link(Link, &'static str),
    /// Makes the provider misbehave, in the grammar of [`crate::provider::behaviour`].
    Provider(&'static str),
    /// Makes the callback receiver misbehave, in the grammar of [`crate::receiver::replies`].
    Receiver(&'static str),
    /// Lets one tenant send this many requests per second.
    Flood(u64),
    /// Fills the disk of the broker.
    DiskFull,
    /// Makes the wall clock jump by this many seconds.
    Clock(i64),
    /// Lets clients read slowly or go away: the load itself, counted.
    Readers,
}

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// One worker process of the first gateway.
    Worker,
    /// The first gateway.
    Gateway,
    /// The broker.
    Broker,
}

/// A link between two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// From the clients to the first gateway.
    Clients,
    /// From the engine to the broker.
    Broker,
    /// From the engine to the provider.
    Provider,
    /// From the engine to the callback receiver.
    Receiver,
}

/// The settings of the engine that differ from those that all scenarios share.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many gateways there are; a client whose gateway is gone goes to another.
    pub gateways: usize,
    /// How often work is delivered before the engine gives it up.
    pub attempts_max: u32,
    /// How often the engine retries the provider within an attempt.
    pub retries: u32,
    /// The most concurrent calls to the provider, per process.
    pub concurrency: u32,
    /// The most requests in each queue.
    pub queued_max: u64,
    /// The most bytes of each stream on disk.
    pub stream_mib: u64,
    /// How long a worker process may send no heartbeat, in milliseconds.
    pub silence_kill_ms: u64,
    /// The most calls to the provider per minute, if there is such a limit.
    pub rate: Option<u32>,
}

/// How the load differs from the usual.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests per second.
    pub per_second: u64,
    /// The share of readers that read slowly.
    pub slow: f64,
    /// The share of readers that go away.
    pub vanishing: f64,
    /// The share of requests that ask for a callback.
    pub callbacks: f64,
    /// The longest answer, in tokens.
    pub tokens_max: u32,
    /// The longest prompt, in words.
    pub words_max: u32,
}

impl Settings {
    /// The settings of most scenarios.
    pub const USUAL: Self = Self {
        gateways: 1,
        attempts_max: 6,
        retries: 2,
        concurrency: 128,
        queued_max: 10_000,
        stream_mib: 256,
        silence_kill_ms: 3_000,
        rate: None,
    };
}

impl Load {
    /// The load of most scenarios: steady, and easy for two cores.
    pub const USUAL: Self =
        Self { per_second: 20, slow: 0.02, vanishing: 0.03, callbacks: 0.15, tokens_max: 40, words_max: 40 };

    /// The load as a profile of requests over `span`.
    pub(super) fn profile(&self, span: Duration, usual: &Profile) -> Profile {
        Profile {
            requests: self.per_second * span.as_secs(),
            span_ms: u64::try_from(span.as_millis()).unwrap_or(u64::MAX),
            slow: self.slow,
            vanishing: self.vanishing,
            // Without a receiver, no request asks for a callback.
            callbacks: if usual.callbacks > 0.0 { self.callbacks } else { 0.0 },
            tokens_max: self.tokens_max,
            words_max: self.words_max,
            ..usual.clone()
        }
    }
}

impl Fault {
    /// Its class, as the report names it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Storm(..) => "restart storm",
            Self::Freeze(_) => "freeze",
            Self::Terminate(_) => "terminate",
            Self::Spin => "spin",
            Self::Link(_, words) | Self::Provider(words) | Self::Receiver(words) => words,
            Self::Flood(_) => "flood",
            Self::DiskFull => "disk full",
            Self::Clock(_) => "clock jump",
            Self::Readers => "bad readers",
        }
    }

    /// What it hits.
    pub const fn target(&self) -> &'static str {
        match self {
            Self::Kill(victim) | Self::Storm(victim, _) | Self::Freeze(victim) | Self::Terminate(victim) => {
                victim.name()
            }
            Self::Spin => Victim::Worker.name(),
            Self::Link(link, _) => link.name(),
            Self::Provider(_) => "provider",
            Self::Receiver(_) => "receiver",
            Self::Flood(_) => "queue",
            Self::DiskFull => Victim::Broker.name(),
            Self::Clock(_) => "engine",
            Self::Readers => "clients",
        }
    }

    /// Whether it is possible on a deployment that is not ours: only what clients do, and a provider that is ours.
    pub const fn is_outside(&self, has_provider: bool) -> bool {
        match self {
            Self::Link(Link::Clients, _) | Self::Flood(_) | Self::Readers => true,
            Self::Provider(_) => has_provider,
            _ => false,
        }
    }
}

impl Victim {
    /// Its role in the history.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Gateway => "gateway",
            Self::Broker => "broker",
        }
    }
}

impl Link {
    /// All links.
    pub const ALL: [Self; 4] = [Self::Clients, Self::Broker, Self::Provider, Self::Receiver];

    /// The name of its two ends.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clients => "client-gateway",
            Self::Broker => "engine-broker",
            Self::Provider => "engine-provider",
            Self::Receiver => "engine-receiver",
        }
    }
}

impl Scenario {
    /// Whether it can run against a deployment that is not ours.
    pub fn is_outside(&self, has_provider: bool) -> bool {
        self.steps.iter().all(|step| step.fault.is_outside(has_provider))
    }
}
