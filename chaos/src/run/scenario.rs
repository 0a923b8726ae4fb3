//! What a scenario is, as data: what goes wrong, when, for how long, on what; and which guarantees that puts to the test.
//! It never does anything.

use std::time::Duration;

use crate::{Guarantee, workload::Profile};

/// One named way of being unlucky.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What happens, in one sentence.
    pub about: &'static str,
    /// The guarantees that it aims at; the others are checked all the same.
    pub aims: &'static [Guarantee],
    /// What goes wrong, in the order of the times.
    pub steps: &'static [Step],
    /// How long the load goes on while things go wrong.
    pub fault_seconds: u64,
    /// What the engine is started with.
    pub settings: Settings,
    /// How the load differs from the usual while things go wrong.
    pub load: Load,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// When it begins, in milliseconds from the beginning of the faults.
    pub at_ms: u64,
    /// How long it lasts.
    pub lasts_ms: u64,
    /// What goes wrong.
    pub fault: Fault,
}

/// What goes wrong. Each is undone at the end of its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A process is killed; at the end of the step it is started again, unless its parent does that.
    Kill(Victim),
    /// A process is killed again and again, each time it has been up for so many milliseconds.
    Storm(Victim, u64),
    /// A process is stopped (SIGSTOP) and goes on at the end of the step.
    Freeze(Victim),
    /// A process is asked to end (SIGTERM); at the end of the step it is started again.
    Terminate(Victim),
    /// A request makes its worker spin: its thread computes for ever.
    Spin,
    /// A link misbehaves, in the words of [`crate::proxy`].
    Link(Link, &'static str),
    /// The provider misbehaves, in the words of [`crate::provider::behaviour`].
    Provider(&'static str),
    /// The callback receiver misbehaves, in the words of [`crate::receiver::replies`].
    Receiver(&'static str),
    /// One tenant sends so many requests a second.
    Flood(u64),
    /// The disk of the broker is full.
    DiskFull,
    /// The clock on the wall jumps by so many seconds.
    Clock(i64),
    /// Clients that read slowly or go away: the load itself, counted.
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

/// What the engine is started with, where that differs from what all scenarios share.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many gateways there are; clients of one that is gone come back to another.
    pub gateways: usize,
    /// How often work is delivered before it is given up.
    pub attempts_max: u32,
    /// How often the provider is asked again within an attempt.
    pub retries: u32,
    /// The most calls to the provider at once, per process.
    pub concurrency: u32,
    /// The most requests in each queue.
    pub queued_max: u64,
    /// The most bytes of each stream on disk.
    pub stream_mib: u64,
    /// How long a worker process may be without a heartbeat, in milliseconds.
    pub silence_kill_ms: u64,
    /// The most calls to the provider in a minute, where there is such a limit.
    pub rate: Option<u32>,
}

/// How the load differs from the usual.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests a second.
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
    /// What most scenarios run with.
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
    /// What most scenarios run with: a steady load that two cores bear easily.
    pub const USUAL: Self =
        Self { per_second: 20, slow: 0.02, vanishing: 0.03, callbacks: 0.15, tokens_max: 40, words_max: 40 };

    /// The same as a profile of requests over `span`.
    pub(super) fn profile(&self, span: Duration, usual: &Profile) -> Profile {
        Profile {
            requests: self.per_second * span.as_secs(),
            span_ms: u64::try_from(span.as_millis()).unwrap_or(u64::MAX),
            slow: self.slow,
            vanishing: self.vanishing,
            // Where there is nobody to call back, nobody asks for it.
            callbacks: if usual.callbacks > 0.0 { self.callbacks } else { 0.0 },
            tokens_max: self.tokens_max,
            words_max: self.words_max,
            ..usual.clone()
        }
    }
}

impl Fault {
    /// Its class, in the words of a report.
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

    /// What it strikes.
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

    /// Whether it can be done to a deployment of somebody else: nothing but what clients do, and a provider that is ours.
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
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Clients, Self::Broker, Self::Provider, Self::Receiver];

    /// Between whom it is.
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
    /// Whether it can run against a deployment of somebody else.
    pub fn is_outside(&self, has_provider: bool) -> bool {
        self.steps.iter().all(|step| step.fault.is_outside(has_provider))
    }
}
