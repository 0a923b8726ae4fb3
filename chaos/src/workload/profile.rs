//! The shape of a workload: how much of what. Shares are from 0 to 1.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use schemas::Tenant;
use serde::{Deserialize, Serialize};

use super::mix;
use crate::history::Door;

/// A feature that is on takes at most this share of the requests, so that most of them still end well.
const SHARE_MAX: f64 = 0.4;

/// How much of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// How many requests.
    pub requests: u64,
    /// The time over which they are sent, in milliseconds.
    pub span_ms: u64,
    /// The share of them that is sent in one moment.
    pub burst: f64,
    /// Who sends.
    pub tenants: Vec<TenantShare>,
    /// Models that chat.
    pub chat_models: Vec<String>,
    /// Models that embed.
    pub embedding_models: Vec<String>,
    /// The longest prompt, in words.
    pub words_max: u32,
    /// The longest answer, in tokens.
    pub tokens_max: u32,
    /// Deadlines are drawn from these, in milliseconds.
    pub deadlines_ms: Vec<u64>,
    /// The share of embeddings.
    pub embeddings: f64,
    /// The share of requests whose action is left to the classifier.
    pub auto: f64,
    /// The share of chats that are streamed.
    pub streamed: f64,
    /// The share of requests in MessagePack.
    pub message_pack: f64,
    /// The share of requests that ask for a callback.
    pub callbacks: f64,
    /// The share of requests that are cancelled.
    pub cancels: f64,
    /// The share of requests that are sent again under their id.
    pub repeats: f64,
    /// The share of repeats that bring another payload.
    pub conflicts: f64,
    /// Whether such a pair may meet on the bus and at a WebSocket, whose client learns of the conflict after `queued`.
    pub late_conflicts: bool,
    /// The share of requests that are malformed.
    pub bad: f64,
    /// The filling of an oversized request, in bytes: more than a door takes.
    pub huge_bytes: usize,
    /// The share of readers that are cut and come back.
    pub resumes: f64,
    /// The share of readers that read slowly.
    pub slow: f64,
    /// The share of readers that go away.
    pub vanishing: f64,
}

/// One tenant's part in the load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantShare {
    /// Which tenant.
    pub tenant: Tenant,
    /// How much, compared with the others; a flooding tenant has a large weight.
    pub weight: u32,
    /// The doors that it uses.
    pub doors: Vec<Door>,
}

impl Default for Profile {
    /// A little of everything, from one tenant.
    fn default() -> Self {
        Self {
            requests: 40,
            span_ms: 20_000,
            burst: 0.2,
            tenants: vec![TenantShare {
                tenant: Tenant::new("default").unwrap_or_else(|_| unreachable!("letters are a token")),
                weight: 1,
                doors: vec![Door::Bus, Door::Http, Door::Socket],
            }],
            chat_models: vec!["sim-chat".into()],
            embedding_models: vec!["sim-embed".into()],
            words_max: 40,
            tokens_max: 60,
            deadlines_ms: vec![60_000],
            embeddings: 0.1,
            auto: 0.1,
            streamed: 0.7,
            message_pack: 0.3,
            callbacks: 0.2,
            cancels: 0.1,
            repeats: 0.1,
            conflicts: 0.3,
            late_conflicts: false,
            bad: 0.05,
            huge_bytes: 3 << 20,
            resumes: 0.15,
            slow: 0.05,
            vanishing: 0.05,
        }
    }
}

impl Profile {
    /// This profile as the swarm of `seed` bends it: each feature is on or off, with a share of its own, so that over
    /// many seeds features meet alone and in every combination.
    pub fn swarm(mut self, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(mix(seed, u64::MAX));
        self.burst = if random.random_bool(0.5) { random.random_range(0.0..0.9) } else { 0.0 };
        let shares = [
            &mut self.embeddings,
            &mut self.auto,
            &mut self.message_pack,
            &mut self.callbacks,
            &mut self.cancels,
            &mut self.repeats,
            &mut self.bad,
            &mut self.resumes,
            &mut self.slow,
            &mut self.vanishing,
        ];
        for share in shares {
            let drawn = random.random_range(0.0..SHARE_MAX);
            *share = if random.random_bool(0.5) { drawn } else { 0.0 };
        }
        self.streamed = random.random_range(0.2..1.0);
        self.conflicts = random.random_range(0.0..1.0);
        self
    }
}
