//! Draws from a seed what the clients of a run do, before the run begins: pure data. The same seed and the same profile
//! give the same workload in any harness; taking requests out of it leaves the others as they are.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng};
use schemas::{Action, Priority, RequestId, Tenant};
use serde::{Deserialize, Serialize};

use crate::history::{Door, Key};

mod bad;
mod draw;
mod profile;
mod request;

pub use bad::Bad;
pub use profile::{Profile, TenantShare};
pub use request::Target;

/// Everything that clients do in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// In the order of their times.
    pub requests: Vec<Planned>,
}

/// One request, and what its sender does with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// When it is sent, in milliseconds from the beginning of the load.
    pub at_ms: u64,
    /// Its tenant and its id; the id is always given, so that a request whose answer was lost is still known.
    pub key: Key,
    /// The door through which it goes.
    pub door: Door,
    /// What is asked for.
    pub ask: Ask,
    /// The format in which it is written.
    pub format: Wire,
    /// Its deadline, from its acceptance.
    pub deadline_ms: u64,
    /// Its priority in a queue.
    pub priority: Priority,
    /// Whether it asks for a callback of its outcome.
    pub callback: bool,
    /// What is wrong with it, if anything: such a request must be refused or parked, and never run.
    pub bad: Option<Bad>,
    /// How its events are read.
    pub reading: Reading,
    /// When it is cancelled, in milliseconds after it was sent.
    pub cancel_after_ms: Option<u64>,
    /// Further sends under the same id.
    pub repeats: Vec<Repeat>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The action on the subject or in the body; `auto` leaves it to the classifier.
    pub action: Action,
    /// Whether vectors are wanted, not words.
    pub embeds: bool,
    /// The model, as clients name it.
    pub model: String,
    /// Words of the prompt, besides the marker.
    pub words: u32,
    /// The most tokens of the answer.
    pub tokens: u32,
    /// Whether deltas are wanted.
    pub stream: bool,
}

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// As JSON; on a WebSocket, in text frames.
    Json,
    /// As MessagePack; on a WebSocket, in binary frames.
    MessagePack,
}

/// How a client reads the events of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// To the end.
    Follow,
    /// Cuts the connection after each `frames` frames, comes back after a while and goes on.
    Resume {
        /// How many frames it takes before each cut.
        frames: u32,
        /// How often it is cut.
        cuts: u32,
        /// How long it stays away, in milliseconds.
        away_ms: u64,
    },
    /// To the end, with a pause after each frame.
    Slow {
        /// The pause, in milliseconds.
        pause_ms: u64,
    },
    /// Goes away after this many frames and never comes back.
    Vanish {
        /// How many frames it takes.
        frames: u32,
    },
}

/// One more send under the id of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeat {
    /// When, in milliseconds after the first send.
    pub after_ms: u64,
    /// Whether the payload is the same. Another payload under the same id must meet a conflict.
    pub same: bool,
    /// The door through which it goes.
    pub door: Door,
}

impl Workload {
    /// The workload of `seed`, as `profile` shapes it.
    pub fn draw(seed: u64, profile: &Profile) -> Self {
        let mut requests: Vec<_> = (0..profile.requests)
            // Each request has randomness of its own, so that a change to one leaves the others as they are.
            .map(|index| draw::request(&mut StdRng::seed_from_u64(mix(seed, index)), profile))
            .collect();
        requests.sort_by_key(|planned| planned.at_ms);
        name(&mut requests);
        Self { requests }
    }

    /// When the last request, repeat or cancel is sent.
    pub fn last_at_ms(&self) -> u64 {
        let last = |planned: &Planned| {
            let repeats = planned.repeats.iter().map(|repeat| repeat.after_ms).max();
            planned.at_ms + repeats.max(planned.cancel_after_ms).unwrap_or_default()
        };
        self.requests.iter().map(last).max().unwrap_or_default()
    }

    /// The longest deadline.
    pub fn deadline_max_ms(&self) -> u64 {
        self.requests.iter().map(|planned| planned.deadline_ms).max().unwrap_or_default()
    }

    /// The planned request of `key`.
    pub fn find(&self, key: &Key) -> Option<&Planned> {
        self.requests.iter().find(|planned| planned.key == *key)
    }
}

/// Spreads `seed` and `index` over all 64 bits (the finaliser of splitmix64), so that neighbours share nothing.
pub(crate) const fn mix(seed: u64, index: u64) -> u64 {
    let mut bits = seed ^ index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Each tenant counts its own requests, so that tenants use the same ids.
fn name(requests: &mut [Planned]) {
    let mut counts = BTreeMap::<Tenant, u64>::new();
    for Planned { key, .. } in requests {
        let count = counts.entry(key.tenant.clone()).or_default();
        key.id = id(*count);
        *count += 1;
    }
}

/// The id of request number `index`: it shows in every log which request of the plan it was.
fn id(index: u64) -> RequestId {
    RequestId::new(format!("r{index}")).unwrap_or_else(|_| unreachable!("a letter and digits are a token"))
}

/// A tenant of `profile`, by the weights of their shares.
fn tenant<'a>(random: &mut StdRng, profile: &'a Profile) -> &'a TenantShare {
    let all: u64 = profile.tenants.iter().map(|share| u64::from(share.weight)).sum();
    let mut at = random.next_u64() % all.max(1);
    for share in &profile.tenants {
        match at.checked_sub(u64::from(share.weight)) {
            Some(rest) => at = rest,
            None => return share,
        }
    }
    &profile.tenants[0]
}

#[cfg(test)]
mod tests;
