//! Draws a plan, swarm style: for each seed each class of faults is on or off, with a rate of its own; no strike begins
//! in one window of calm.

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};

use super::{Fault, Mood, Node, Plan, Strike, TargetMood, Trouble, Upset};
use crate::{simulation::scenario::Setup, workload::Workload};

/// The most strikes of one class.
const STRIKES_MAX: u32 = 4;
/// The longest strike.
const LONG_MS_MAX: u64 = 20_000;
/// The longest of the short strikes.
const SHORT_MS_MAX: u64 = 800;
/// A strike that aims at a request begins at most this long after it was sent.
const AIM_MS_MAX: u64 = 3_000;
/// The farthest jump of a wall clock.
const JUMP_MS_MAX: i64 = 90_000;
/// The share of the time in which nothing begins.
const CALM: f64 = 0.25;

impl Plan {
    /// Strikes for a load of `span_ms`.
    pub fn draw(random: &mut StdRng, setup: &Setup, workload: &Workload, span_ms: u64) -> Self {
        let calm = random.random_range(0.0..1.0 - CALM);
        let calm = (calm * span_ms as f64) as u64..((calm + CALM) * span_ms as f64) as u64;
        let mut strikes = Vec::new();
        for make in MAKERS {
            // Off for half of the seeds, so that faults meet alone and in every combination.
            if random.random_bool(0.5) {
                continue;
            }
            for _ in 0..random.random_range(1..=STRIKES_MAX) {
                let fault = make(random, setup);
                let at_ms = moment(random, workload, span_ms);
                // Short ones hit one step of a request, long ones a whole request and its redelivery.
                let longest = if random.random_bool(0.3) { SHORT_MS_MAX } else { LONG_MS_MAX };
                let for_ms = random.random_range(1..=longest);
                if !calm.contains(&at_ms) {
                    strikes.push(Strike { at_ms, for_ms, fault });
                }
            }
        }
        strikes.sort_by_key(|strike| strike.at_ms);
        Self { strikes }
    }
}

/// Often while a request is under way, otherwise at any time.
fn moment(random: &mut StdRng, workload: &Workload, span_ms: u64) -> u64 {
    match workload.requests.choose(random) {
        Some(planned) if random.random_bool(0.6) => planned.at_ms + random.random_range(0..AIM_MS_MAX),
        _ => random.random_range(0..=span_ms),
    }
}

/// One maker for each class that is switched on or off as a whole.
const MAKERS: [fn(&mut StdRng, &Setup) -> Fault; 14] = [
    |random, _| broker(random),
    |random, _| broker(random),
    |random, _| broker(random),
    |random, _| upset(random),
    |random, _| upset(random),
    |_, _| Fault::LinkDown,
    |random, setup| Fault::NodeCut { node: node(random, setup) },
    |random, setup| Fault::Kill { node: node(random, setup) },
    |random, setup| Fault::Drain { node: node(random, setup) },
    |random, _| provider(random),
    |random, _| provider(random),
    |random, _| Fault::Target {
        mood: *TargetMood::ALL.choose(random).unwrap_or(&TargetMood::Down),
        probability: random.random_range(0.2..1.0),
    },
    |_, _| Fault::ClientsCut,
    |random, setup| Fault::ClockJump {
        node: node(random, setup),
        by_ms: random.random_range(-JUMP_MS_MAX..=JUMP_MS_MAX),
    },
];

/// The troubles that make a difference to the messages of a kind. A full stream of outcomes forgets its oldest, by
/// design, so it never claims to be full.
const TROUBLES: [(&str, &[Trouble]); 8] = [
    ("req", &Trouble::ALL),
    ("work", &Trouble::ALL),
    ("evt", &[Trouble::Lose, Trouble::Delay, Trouble::Shuffle, Trouble::Drop, Trouble::Duplicate]),
    ("res", &[Trouble::Lose, Trouble::LoseAck, Trouble::SlowAck]),
    ("cb", &Trouble::ALL),
    (
        "ctl",
        &[Trouble::Lose, Trouble::LoseAck, Trouble::SlowAck, Trouble::Drop, Trouble::Delay, Trouble::Full],
    ),
    ("dead", &[Trouble::Lose, Trouble::LoseAck, Trouble::SlowAck, Trouble::Full]),
    ("hb", &[Trouble::Drop, Trouble::Delay, Trouble::Duplicate]),
];

fn broker(random: &mut StdRng) -> Fault {
    let (kind, troubles) = TROUBLES.choose(random).copied().unwrap_or(TROUBLES[0]);
    Fault::Broker {
        trouble: *troubles.choose(random).unwrap_or(&Trouble::Lose),
        kind: kind.into(),
        probability: random.random_range(0.05..1.0),
        delay_ms: random.random_range(1..8_000),
    }
}

fn upset(random: &mut StdRng) -> Fault {
    let upset = *Upset::ALL.choose(random).unwrap_or(&Upset::Restart);
    let kinds: &[&str] = match upset {
        Upset::Overflow => &["evt", "hb", "ctl"],
        _ => &["req", "work", "evt", "cb"],
    };
    Fault::Upset { upset, kind: (*kinds.choose(random).unwrap_or(&"req")).into() }
}

fn provider(random: &mut StdRng) -> Fault {
    Fault::Provider {
        provider: if random.random_bool(0.3) { "beta" } else { "alpha" }.into(),
        mood: *Mood::ALL.choose(random).unwrap_or(&Mood::Fails),
        probability: random.random_range(0.1..1.0),
    }
}

fn node(random: &mut StdRng, setup: &Setup) -> Node {
    match random.random_range(0..3) {
        0 => Node::Gateway(random.random_range(0..setup.gateways.len().max(1))),
        _ => Node::Engine(random.random_range(0..setup.engines.max(1))),
    }
}
