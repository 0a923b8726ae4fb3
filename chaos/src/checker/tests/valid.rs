//! A history in which every guarantee is put to the test and holds, drawn from a seed.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use schemas::{ErrorCode, Status};

use super::story::{Story, key};
use crate::history::{Door, Entry, Fact, Phase, Signal, marker};

/// When the run is over.
pub(super) const OVER_MS: u64 = 60_000;

/// One kind of request: told for a name and a time of beginning.
type Tale = fn(Story, &str, &mut StdRng, &mut u64) -> Story;

/// Requests that run into the faults, and when they begin.
const TALES: [(&str, u64, Tale); 14] = [
    ("resumed", 11_000, resumed),
    ("crashed", 14_000, crashed),
    ("drained", 19_900, drained),
    ("throttled", 11_000, throttled),
    ("silent", 16_000, silent),
    ("cancelled", 11_000, cancelled),
    ("expired", 11_000, expired),
    ("refused", 11_000, refused),
    ("sent-again", 11_000, sent_again),
    ("conflict", 11_000, conflict),
    ("unclear", 11_000, unclear),
    ("called-back", 11_000, called_back),
    ("not-called-back", 11_000, not_called_back),
    ("lured", 11_000, lured),
];

/// The history of `seed`: the same tales in other company, at other times, in other words.
pub(super) fn history(seed: u64) -> Vec<Entry> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut calls = 0;
    let mut entries = frame_of_the_run().entries;
    let mut tell = |name: String, at: u64, tale: Tale| {
        entries.extend(tale(Story::default().at(at), &name, &mut random, &mut calls).entries);
    };
    for number in 0..24 {
        tell(format!("quiet-{number}"), 100 + number * 300, plain);
        tell(format!("healed-{number}"), 36_000 + number * 300, plain);
    }
    for number in 0..2 + seed % 3 {
        let tenant = ["acme", "umbrella"][(number % 2) as usize];
        for (name, at, tale) in TALES {
            tell(format!("{tenant}/{name}-{number}"), at + number, tale);
        }
    }
    for number in 0..3 {
        tell(format!("limited-{number}"), 1_000 + number * 50, limited);
    }
    entries.extend(after_the_run().entries);
    entries.sort_by_key(|entry| entry.at_ms);
    entries
}

fn frame_of_the_run() -> Story {
    let measured = |value| Fact::Measured { gauge: "queue sim".into(), value, cap: Some(100.0) };
    let story = Story::default().phase(Phase::Quiet).begins("worker-1", 1).begins("worker-2", 2);
    let story = story.at(10_000).phase(Phase::Fault).fact("harness", measured(90.0));
    let story = story.at(12_000).signal("worker-1", 1, Signal::Stop);
    let story = story.at(15_000).dies("worker-1", 1, "signal 9").at(16_000).begins("worker-1", 3);
    let story = story.at(18_000).fact("nemesis", Fact::Jumped { by_ms: -3_600_000 });
    let story =
        story.at(20_000).signal("worker-2", 2, Signal::Drain).at(22_000).dies("worker-2", 2, "exit 0");
    let story = story.at(22_500).begins("worker-2", 4);
    let story = story.at(24_000).signal("worker-1", 3, Signal::Slow).at(26_000).signal(
        "worker-1",
        3,
        Signal::Continue,
    );
    let story = story.at(30_000).phase(Phase::Healed).fact("harness", measured(3.0));
    story.at(45_000).phase(Phase::Settle).over(OVER_MS)
}

fn after_the_run() -> Story {
    let searched = Fact::Searched { place: "worker-1.log".into(), canaries: 4 };
    Story::default().at(OVER_MS).waiting("DYNODE_WORK", 0).fact("harness", searched)
}

/// A text of its own, in pieces.
fn text(name: &str, random: &mut StdRng) -> (String, Vec<String>) {
    let words = (0..random.random_range(3..8)).map(|_| format!(" w{}", random.random_range(0..100)));
    let whole = marker(&key(name)) + &words.collect::<String>();
    let letters: Vec<char> = whole.chars().collect();
    let pieces = letters.chunks(random.random_range(3..6)).map(|piece| piece.iter().collect()).collect();
    (whole, pieces)
}

fn next(calls: &mut u64) -> u64 {
    *calls += 1;
    *calls
}

/// Attempt `attempt` to the good end of the request, with its record after the run.
fn answer(story: Story, name: &str, attempt: u32, random: &mut StdRng) -> Story {
    let (whole, pieces) = text(name, random);
    let mut story = story.frame(name, (attempt, 0), "running", None);
    for (seq, piece) in (1..).zip(&pieces) {
        story = story.frame(name, (attempt, seq), "chat.delta", Some(piece));
    }
    let seq = pieces.len() as u64 + 1;
    story.end(name, (attempt, seq), Status::Succeeded, &whole).at(OVER_MS).recorded(name, &whole)
}

fn begun(story: Story, name: &str) -> Story {
    story.asked(name).reads(name, None).frame(name, (0, 0), "queued", None)
}

fn plain(story: Story, name: &str, random: &mut StdRng, calls: &mut u64) -> Story {
    let (call, from) = (next(calls), story.now_ms());
    let story = begun(story, name).at(from + 20).called(call, name);
    let story = story.at(from + random.random_range(50..150)).answered(call, 10);
    answer(story, name, 1, random)
}

fn limited(story: Story, name: &str, _: &mut StdRng, calls: &mut u64) -> Story {
    let call = next(calls);
    story
        .asked(name)
        .called_as(call, name, "limited", Some(name))
        .answered(call, 10)
        .at(OVER_MS)
        .recorded(name, "hi")
}

fn resumed(story: Story, name: &str, random: &mut StdRng, calls: &mut u64) -> Story {
    let (call, from) = (next(calls), story.now_ms());
    let (whole, pieces) = text(name, random);
    let cut = random.random_range(1..pieces.len() as u64);
    let mut story = begun(story, name).called(call, name).frame(name, (1, 0), "running", None);
    for (seq, piece) in (1..).zip(&pieces) {
        story = story.frame(name, (1, seq), "chat.delta", Some(piece));
        if seq == cut {
            story = story.left(name).at(from + 200).reads(name, Some((1, seq)));
        }
    }
    let seq = pieces.len() as u64 + 1;
    let story = story.answered(call, 10).end(name, (1, seq), Status::Succeeded, &whole);
    story.at(OVER_MS).recorded(name, &whole)
}

fn again(story: Story, name: &str, random: &mut StdRng, calls: &mut u64) -> Story {
    let (call, from) = (next(calls), story.now_ms());
    answer(story.called(call, name).at(from + 100).answered(call, 10), name, 2, random)
}

fn crashed(story: Story, name: &str, random: &mut StdRng, calls: &mut u64) -> Story {
    let (call, pieces) = (next(calls), text(name, random).1);
    let story = begun(story, name).called(call, name).frame(name, (1, 0), "running", None);
    let story = story.frame(name, (1, 1), "chat.delta", Some(&pieces[0])).at(15_000).abandoned(call);
    again(story.at(random.random_range(20_000..24_000)), name, random, calls)
}

fn drained(story: Story, name: &str, random: &mut StdRng, calls: &mut u64) -> Story {
    let call = next(calls);
    let story = begun(story, name).called(call, name).frame(name, (1, 0), "running", None);
    again(story.at(20_600).abandoned(call).at(21_000), name, random, calls)
}

fn throttled(story: Story, name: &str, random: &mut StdRng, calls: &mut u64) -> Story {
    let (call, wait) = (next(calls), random.random_range(100..900));
    let (model, mark) = (name.replace('/', "-"), Some(name));
    let from = story.now_ms();
    let story = begun(story, name).called_as(call, name, &model, mark).throttled(call, wait).at(from + wait);
    let call = next(calls);
    answer(story.called_as(call, name, &model, mark).answered(call, 10), name, 1, random)
}

fn silent(story: Story, name: &str, random: &mut StdRng, calls: &mut u64) -> Story {
    let call = next(calls);
    let story = begun(story, name).called(call, name).frame(name, (1, 0), "running", None);
    let story = story.at(16_500).silent(call).at(19_500).abandoned(call);
    again(story.at(19_600), name, random, calls)
}

fn cancelled(story: Story, name: &str, _: &mut StdRng, calls: &mut u64) -> Story {
    let (call, from) = (next(calls), story.now_ms());
    let story =
        begun(story, name).called(call, name).at(from + 100).cancelled(name).at(from + 200).abandoned(call);
    let story = story.end(name, (0, 1), Status::Cancelled, "").at(OVER_MS);
    story.recorded_as(name, Status::Cancelled, None, Some(ErrorCode::Cancelled), 0)
}

fn expired(story: Story, name: &str, _: &mut StdRng, _: &mut u64) -> Story {
    let from = story.now_ms();
    let story = begun(story, name).at(from + 10_000).end(name, (0, 1), Status::Expired, "").at(OVER_MS);
    story.recorded_as(name, Status::Expired, None, Some(ErrorCode::DeadlineExceeded), 0)
}

fn refused(story: Story, name: &str, _: &mut StdRng, _: &mut u64) -> Story {
    story.sent(name).refused(name, ErrorCode::Overloaded, Some(500))
}

fn sent_again(story: Story, name: &str, random: &mut StdRng, calls: &mut u64) -> Story {
    let from = story.now_ms();
    let story = story.sent(name).refused(name, ErrorCode::Overloaded, Some(500)).at(from + 500);
    plain(story, name, random, calls)
}

fn conflict(story: Story, name: &str, random: &mut StdRng, calls: &mut u64) -> Story {
    let from = story.now_ms();
    let other = Story::default().at(from + 10).sent_as("client 2", name, Door::Http, "f2", false);
    let refused = Fact::Refused { request: key(name), code: ErrorCode::Conflict, retry_after_ms: None };
    let other = other.fact("client 2", refused);
    let mut story = plain(story, name, random, calls);
    story.entries.extend(other.entries);
    story
}

fn unclear(story: Story, name: &str, random: &mut StdRng, _: &mut u64) -> Story {
    let story = story.sent(name).unclear(name).at(OVER_MS);
    if random.random_bool(0.5) { story.recorded(name, "hi") } else { story }
}

fn called_back(story: Story, name: &str, random: &mut StdRng, _: &mut u64) -> Story {
    let story = story.sent_as("client 1", name, Door::Http, "f1", true).accepted(name);
    let failures = random.random_range(1..4);
    let story = (0..failures).fold(story, |story, _| story.called_back(name, 503));
    story.called_back(name, 204).at(OVER_MS).recorded(name, "hi")
}

fn not_called_back(story: Story, name: &str, _: &mut StdRng, _: &mut u64) -> Story {
    let story = story.sent_as("client 1", name, Door::Http, "f1", true).accepted(name).called_back(name, 410);
    story.at(OVER_MS).recorded(name, "hi").parked(name)
}

fn lured(story: Story, name: &str, _: &mut StdRng, _: &mut u64) -> Story {
    let address = "169.254.169.254:80".into();
    story
        .asked(name)
        .fact("client 1", Fact::Lured { request: key(name), address })
        .at(OVER_MS)
        .recorded(name, "hi")
}
