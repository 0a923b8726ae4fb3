//! Each single lie in an otherwise good history is caught, by the right number.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use schemas::{ErrorCode, Status};

use super::{
    story::{Story, key},
    valid::{self, OVER_MS},
    *,
};
use crate::history::{Fact, Key, marker};

/// Changes one thing.
type Lie = fn(&mut Vec<Entry>, &mut StdRng);

const LIES: [(&str, Guarantee, Lie); 38] = [
    ("an outcome is missing", Guarantee::I1, |h, r| {
        drop(h, r, |f| matches!(f, Fact::Recorded { .. }) && !is_of(f, "unclear"))
    }),
    ("an outcome is there twice", Guarantee::I1, |h, r| repeat(h, r, |f| matches!(f, Fact::Recorded { .. }))),
    ("a request was not sent", Guarantee::I2, |h, r| {
        drop(h, r, |f| matches!(f, Fact::Sent { .. }) && is_of(f, "crashed"))
    }),
    ("an outcome of nobody", Guarantee::I2, |h, r| {
        edit(h, r, |f| matches!(f, Fact::Recorded { .. }), |f| *key_of(f) = key("nobody"))
    }),
    ("a frame of nobody", Guarantee::I2, |h, r| {
        edit(h, r, |f| matches!(f, Fact::Frame { .. }), |f| *key_of(f) = key("nobody"))
    }),
    ("a callback of nobody", Guarantee::I2, |h, r| {
        edit(h, r, |f| matches!(f, Fact::CalledBack { .. }), |f| *key_of(f) = key("nobody"))
    }),
    ("another end is recorded", Guarantee::I3, |h, r| {
        edit(h, r, is_read_record, |f| set_status(f, Status::Failed))
    }),
    ("another answer is recorded", Guarantee::I3, |h, r| {
        edit(h, r, |f| is_read_record(f) && has_text(f), add_text)
    }),
    ("a callback tells another end", Guarantee::I3, |h, r| {
        edit(h, r, |f| matches!(f, Fact::CalledBack { .. }), |f| set_status(f, Status::Expired))
    }),
    ("a conflict is accepted", Guarantee::I3, |h, r| {
        edit(h, r, is_conflict, |f| *f = Fact::Accepted { request: key_of(f).clone() })
    }),
    ("too many calls", Guarantee::I4, |h, _| {
        insert(
            h,
            21_500,
            (0..12).fold(Story::default().at(21_500), |s, n| {
                s.called(9_000 + n, "acme/crashed-0").abandoned(9_000 + n)
            }),
        )
    }),
    ("another idempotency key", Guarantee::I4, |h, r| {
        edit(h, r, |f| matches!(f, Fact::Called { .. }) && is_of(f, "silent"), set_key)
    }),
    ("a frame is missing", Guarantee::I5, |h, r| {
        // Nobody sees it where the reader says that it has the frame (`resumed`), or where a newer attempt voids it.
        drop(h, r, |f| {
            matches!(f, Fact::Frame { event, .. } if event == "chat.delta")
                && !is_of(f, "crashed")
                && !is_of(f, "resumed")
        })
    }),
    ("a frame comes twice", Guarantee::I5, |h, r| repeat(h, r, |f| matches!(f, Fact::Frame { .. }))),
    ("two frames change places", Guarantee::I5, |h, r| swap_frames(h, r)),
    ("an end comes twice", Guarantee::I5, |h, r| repeat(h, r, is_end)),
    ("an end is missing", Guarantee::I5, |h, r| drop(h, r, is_end)),
    ("an older attempt goes on", Guarantee::I5, |h, r| {
        edit(h, r, |f| matches!(f, Fact::Frame { attempt: 2, status: None, .. }), |f| set_attempt(f, 1))
    }),
    ("a piece is another one", Guarantee::I5, |h, r| {
        edit(
            h,
            r,
            |f| matches!(f, Fact::Frame { event, attempt, .. } if event == "chat.delta" && (!is_of(f, "crashed") || *attempt == 2)),
            add_text,
        )
    }),
    ("bytes of another tenant", Guarantee::I6, |h, r| {
        edit(h, r, |f| matches!(f, Fact::Recorded { .. }), |f| set_text(f, marker(&key("evil/r1"))))
    }),
    ("bytes of another request in a stream", Guarantee::I6, |h, r| {
        edit(
            h,
            r,
            |f| matches!(f, Fact::Frame { event, .. } if event == "chat.delta"),
            |f| set_text(f, marker(&key("r99"))),
        )
    }),
    ("a queue over its cap", Guarantee::I7, |h, r| {
        edit(
            h,
            r,
            |f| matches!(f, Fact::Measured { .. }),
            |f| {
                if let Fact::Measured { value, .. } = f {
                    *value += 100.0
                }
            },
        )
    }),
    ("a refusal that does not say when", Guarantee::I8, |h, r| {
        edit(
            h,
            r,
            |f| matches!(f, Fact::Refused { code: ErrorCode::Overloaded, .. }),
            |f| {
                if let Fact::Refused { retry_after_ms, .. } = f {
                    *retry_after_ms = None
                }
            },
        )
    }),
    ("a refused request runs", Guarantee::I8, |h, _| {
        insert(h, 11_100, Story::default().at(11_100).called(9_000, "acme/refused-0"))
    }),
    ("one call too many in a window", Guarantee::I9, |h, _| {
        insert(
            h,
            5_000,
            Story::default()
                .at(5_000)
                .called_as(9_000, "limited-0", "limited", Some("limited-0"))
                .answered(9_000, 0),
        )
    }),
    ("a call before its time", Guarantee::I9, |h, _| {
        insert(
            h,
            11_050,
            Story::default()
                .at(11_050)
                .called_as(9_000, "acme/throttled-0", "acme-throttled-0", Some("acme/throttled-0"))
                .answered(9_000, 0),
        )
    }),
    ("a bill that nobody recorded", Guarantee::I10, |h, r| {
        edit(
            h,
            r,
            |f| matches!(f, Fact::Answered { whole: true, status: Some(200), .. }),
            |f| {
                if let Fact::Answered { tokens, .. } = f {
                    *tokens += 1
                }
            },
        )
    }),
    ("a callback that was never taken", Guarantee::I11, |h, r| {
        drop(h, r, |f| matches!(f, Fact::CalledBack { replied: 204, .. }))
    }),
    ("a letter that is not there", Guarantee::I11, |h, r| drop(h, r, |f| matches!(f, Fact::Parked { .. }))),
    ("a bad signature", Guarantee::I11, |h, r| {
        edit(
            h,
            r,
            |f| matches!(f, Fact::CalledBack { .. }),
            |f| {
                if let Fact::CalledBack { valid, .. } = f {
                    *valid = false
                }
            },
        )
    }),
    ("another webhook-id", Guarantee::I11, |h, r| {
        edit(
            h,
            r,
            |f| matches!(f, Fact::CalledBack { replied: 204, .. }),
            |f| {
                if let Fact::CalledBack { webhook, .. } = f {
                    webhook.push('x')
                }
            },
        )
    }),
    ("the stopped one is not ended", Guarantee::I12, |h, r| {
        drop(h, r, |f| matches!(f, Fact::Process { pid: 1, ended: Some(_), .. }))
    }),
    ("the work of the dead does not go on", Guarantee::I12, |h, _| {
        h.retain(|e| e.at_ms <= 15_000 || e.at_ms >= OVER_MS || !is_of(&e.fact, "crashed-0"))
    }),
    ("the dead one is not replaced", Guarantee::I13, |h, r| {
        drop(h, r, |f| matches!(f, Fact::Process { pid: 3, ended: None, .. }))
    }),
    ("a drain that ends badly", Guarantee::I14, |h, r| {
        edit(
            h,
            r,
            |f| matches!(f, Fact::Process { pid: 2, ended: Some(_), .. }),
            |f| {
                if let Fact::Process { ended, .. } = f {
                    *ended = Some("exit 1".into())
                }
            },
        )
    }),
    ("work that still waits", Guarantee::I15, |h, r| {
        edit(
            h,
            r,
            |f| matches!(f, Fact::Waiting { .. }),
            |f| {
                if let Fact::Waiting { messages, .. } = f {
                    *messages = 1
                }
            },
        )
    }),
    ("a deadline that moved with the clock", Guarantee::I16, expire_early),
    ("a visit where none may be", Guarantee::I17, |h, _| {
        insert(
            h,
            20_000,
            Story::default()
                .at(20_000)
                .fact("trap", Fact::Trespassed { address: "169.254.169.254:80".into() }),
        )
    }),
];

fn is_of(fact: &Fact, part: &str) -> bool {
    let mut fact = fact.clone();
    request_of(&mut fact).is_some_and(|key| key.id.as_str().contains(part))
}

fn request_of(fact: &mut Fact) -> Option<&mut Key> {
    match fact {
        Fact::Sent { request, .. }
        | Fact::Accepted { request }
        | Fact::Refused { request, .. }
        | Fact::Frame { request, .. }
        | Fact::CalledBack { request, .. }
        | Fact::Recorded { request, .. }
        | Fact::Called { request: Some(request), .. } => Some(request),
        _ => None,
    }
}

fn key_of(fact: &mut Fact) -> &mut Key {
    request_of(fact).unwrap()
}

fn is_end(fact: &Fact) -> bool {
    matches!(fact, Fact::Frame { status: Some(_), .. })
}

/// The record of a request whose end somebody read.
fn is_read_record(fact: &Fact) -> bool {
    matches!(fact, Fact::Recorded { .. })
        && ["quiet", "healed", "resumed", "crashed", "silent"].iter().any(|name| is_of(fact, name))
}

fn is_conflict(fact: &Fact) -> bool {
    matches!(fact, Fact::Refused { code: ErrorCode::Conflict, .. })
}

fn has_text(fact: &Fact) -> bool {
    matches!(fact, Fact::Recorded { text: Some(_), .. })
}

fn set_status(fact: &mut Fact, to: Status) {
    match fact {
        Fact::Recorded { status, .. } => *status = to,
        Fact::CalledBack { status, .. } => *status = Some(to),
        _ => panic!("{fact:?} has no status"),
    }
}

fn set_text(fact: &mut Fact, to: String) {
    match fact {
        Fact::Recorded { text, .. } | Fact::Frame { text, .. } => *text = Some(to),
        _ => panic!("{fact:?} has no text"),
    }
}

fn add_text(fact: &mut Fact) {
    match fact {
        Fact::Recorded { text: Some(text), .. } | Fact::Frame { text: Some(text), .. } => text.push('x'),
        _ => panic!("{fact:?} has no text"),
    }
}

fn set_key(fact: &mut Fact) {
    if let Fact::Called { idempotency_key, .. } = fact {
        *idempotency_key = Some("another".into());
    }
}

fn set_attempt(fact: &mut Fact, to: u32) {
    if let Fact::Frame { attempt, .. } = fact {
        *attempt = to;
    }
}

/// One of the lines that fit.
fn pick(history: &[Entry], random: &mut StdRng, fits: impl Fn(&Fact) -> bool) -> usize {
    let lines: Vec<_> = (0..history.len()).filter(|line| fits(&history[*line].fact)).collect();
    assert!(!lines.is_empty(), "the good history has no such line");
    lines[random.random_range(0..lines.len())]
}

fn drop(history: &mut Vec<Entry>, random: &mut StdRng, fits: fn(&Fact) -> bool) {
    history.remove(pick(history, random, fits));
}

fn repeat(history: &mut Vec<Entry>, random: &mut StdRng, fits: fn(&Fact) -> bool) {
    let line = pick(history, random, fits);
    history.insert(line + 1, history[line].clone());
}

fn edit(history: &mut [Entry], random: &mut StdRng, fits: fn(&Fact) -> bool, change: fn(&mut Fact)) {
    let line = pick(history, random, fits);
    change(&mut history[line].fact);
}

fn insert(history: &mut Vec<Entry>, at_ms: u64, story: Story) {
    let line = history.partition_point(|entry| entry.at_ms <= at_ms);
    history.splice(line..line, story.entries);
}

fn swap_frames(history: &mut [Entry], random: &mut StdRng) {
    let piece = |fact: &Fact| matches!(fact, Fact::Frame { event, seq: 1.., .. } if event == "running" || event == "chat.delta");
    let first =
        pick(history, random, |fact| piece(fact) && !is_of(fact, "crashed") && !is_of(fact, "resumed"));
    let owner = key_of(&mut history[first].fact.clone()).clone();
    let next = |entry: &Entry| matches!(&entry.fact, Fact::Frame { request, .. } if *request == owner);
    let second = first + 1 + history[first + 1..].iter().position(next).unwrap();
    let fact = history[first].fact.clone();
    history[first].fact = std::mem::replace(&mut history[second].fact, fact);
}

fn expire_early(history: &mut Vec<Entry>, random: &mut StdRng) {
    let line =
        pick(history, random, |fact| matches!(fact, Fact::Frame { status: Some(Status::Expired), .. }));
    let mut entry = history.remove(line);
    entry.at_ms = 18_001;
    let line = history.partition_point(|other| other.at_ms <= entry.at_ms);
    history.insert(line, entry);
}

#[test]
fn the_good_history_holds_every_guarantee() {
    for seed in 0..64 {
        for (guarantee, verdict) in check(&valid::history(seed), &bounds()).iter() {
            assert!(matches!(verdict, Verdict::Held { .. }), "seed {seed}, {guarantee}: {verdict:#?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_lie_is_caught_by_its_number(seed: u64) {
        let good = valid::history(seed);
        for (name, guarantee, lie) in LIES {
            let mut history = good.clone();
            lie(&mut history, &mut StdRng::seed_from_u64(seed));
            prop_assert!(history != good, "{name}: nothing was changed");
            let verdicts = check(&history, &bounds());
            let caught = matches!(verdicts.of(guarantee), Verdict::Broken { .. });
            prop_assert!(caught, "{name}: {guarantee} does not see it; seen: {:#?}", verdicts.findings().collect::<Vec<_>>());
        }
    }
}

#[test]
fn there_is_a_lie_for_every_guarantee() {
    let mut lied: Vec<_> = LIES.iter().map(|(_, guarantee, _)| *guarantee).collect();
    // A leak is one line by itself; `places` tells it.
    lied.push(Guarantee::I18);
    lied.dedup();
    assert_eq!(lied, Guarantee::ALL);
}
