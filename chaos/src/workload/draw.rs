//! Draws one request.

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use schemas::{Action, Priority};

use super::{Ask, Bad, Planned, Profile, Reading, Repeat, TenantShare, Wire, id, tenant};
use crate::history::{Door, Key};

/// The longest a cut reader stays away: longer than the broker is usually gone, shorter than events are kept.
const AWAY_MS_MAX: u64 = 8_000;
/// The longest pause of a slow reader.
const PAUSE_MS_MAX: u64 = 2_000;
/// A repeat or a cancel comes at most this long after its request.
const AFTER_MS_MAX: u64 = 15_000;

/// Draws a request; it gets its id once all of them are drawn.
pub(super) fn request(random: &mut StdRng, profile: &Profile) -> Planned {
    let share = tenant(random, profile);
    let at_ms = match random.random_bool(profile.burst) {
        true => profile.span_ms / 2,
        false => random.random_range(0..=profile.span_ms),
    };
    let door = door(random, share);
    let bad = random.random_bool(profile.bad).then(|| Bad::draw(random, door, profile.huge_bytes));
    let mut repeats = repeats(random, share, profile);
    let mut doors: Vec<_> = repeats.iter().map(|repeat| repeat.door).collect();
    doors.push(door);
    // If two requests under one id come by the bus and by a door, the door learns only later which was first, and can
    // tell that only if its client still listens.
    let told_at_once = doors.iter().all(|other| (*other == Door::Bus) == (door == Door::Bus));
    let told_later = profile.late_conflicts && !doors.contains(&Door::Http);
    for repeat in &mut repeats {
        // No other payload could be told apart from one that cannot be read.
        repeat.same |= bad.is_some() || !(told_at_once || told_later);
    }
    Planned {
        at_ms,
        key: Key { tenant: share.tenant.clone(), id: id(0) },
        door,
        ask: ask(random, profile),
        format: if random.random_bool(profile.message_pack) { Wire::MessagePack } else { Wire::Json },
        deadline_ms: profile.deadlines_ms.choose(random).copied().unwrap_or(60_000),
        priority: *[Priority::Interactive, Priority::Standard, Priority::Batch]
            .choose(random)
            .unwrap_or(&Priority::Standard),
        callback: random.random_bool(profile.callbacks),
        bad,
        reading: reading(random, profile),
        cancel_after_ms: random.random_bool(profile.cancels).then(|| after(random)),
        repeats,
    }
}

fn door(random: &mut StdRng, share: &TenantShare) -> Door {
    share.doors.choose(random).copied().unwrap_or(Door::Bus)
}

fn ask(random: &mut StdRng, profile: &Profile) -> Ask {
    let embeds = random.random_bool(profile.embeddings);
    let models = if embeds { &profile.embedding_models } else { &profile.chat_models };
    let action = match (random.random_bool(profile.auto), embeds) {
        (true, _) => Action::Auto,
        (false, true) => Action::EmbeddingQuery,
        (false, false) => Action::ChatCompletion,
    };
    Ask {
        action,
        embeds,
        model: models.choose(random).cloned().unwrap_or_default(),
        words: random.random_range(1..=profile.words_max.max(1)),
        tokens: random.random_range(1..=profile.tokens_max.max(1)),
        stream: !embeds && random.random_bool(profile.streamed),
    }
}

fn reading(random: &mut StdRng, profile: &Profile) -> Reading {
    let at: f64 = random.random_range(0.0..1.0);
    let frames = random.random_range(0..12);
    if at < profile.resumes {
        let (cuts, away_ms) = (random.random_range(1..4), random.random_range(0..AWAY_MS_MAX));
        return Reading::Resume { frames, cuts, away_ms };
    }
    if at < profile.resumes + profile.slow {
        return Reading::Slow { pause_ms: random.random_range(1..PAUSE_MS_MAX) };
    }
    if at < profile.resumes + profile.slow + profile.vanishing {
        return Reading::Vanish { frames };
    }
    Reading::Follow
}

fn repeats(random: &mut StdRng, share: &TenantShare, profile: &Profile) -> Vec<Repeat> {
    if !random.random_bool(profile.repeats) {
        return Vec::new();
    }
    let count = random.random_range(1..4);
    (0..count)
        .map(|_| Repeat {
            after_ms: after(random),
            same: !random.random_bool(profile.conflicts),
            door: door(random, share),
        })
        .collect()
}

/// Often at once, since that is where the races are.
fn after(random: &mut StdRng) -> u64 {
    match random.random_range(0..3) {
        0 => 0,
        1 => random.random_range(0..300),
        _ => random.random_range(0..AFTER_MS_MAX),
    }
}
