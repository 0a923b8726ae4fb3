mod calls;
mod ends;
mod engine;
mod mutations;
mod places;
mod story;
mod streams;
mod valid;

use super::*;
use story::Story;

/// Settings small enough to be met in a story of seconds.
fn bounds() -> Bounds {
    Bounds {
        rates: [("limited".to_owned(), Rate { calls: 3, window_ms: 10_500 })].into(),
        retry_after_spread_ms: Some(0),
        silence_ms: 3_000,
        silence_min_ms: Some(3_000),
        stall_kill_ms: 4_000,
        ..Bounds::default()
    }
}

fn verdict(story: &Story, guarantee: Guarantee) -> Verdict {
    check(&story.entries, &bounds()).of(guarantee).clone()
}

#[track_caller]
fn holds(story: &Story, guarantee: Guarantee) {
    let verdict = verdict(story, guarantee);
    assert!(matches!(verdict, Verdict::Held { checked: 1.. }), "{guarantee}: {verdict:#?}");
}

#[track_caller]
fn not_exercised(story: &Story, guarantee: Guarantee) {
    assert_eq!(verdict(story, guarantee), Verdict::NotExercised);
}

/// It is broken in this way and in no other, and the lines of the proof exist.
#[track_caller]
fn breaks(story: &Story, guarantee: Guarantee, kind: &str) -> Finding {
    let Verdict::Broken { findings } = verdict(story, guarantee) else { panic!("{guarantee} is not broken") };
    let kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
    assert!(kinds.iter().all(|found| *found == kind), "{guarantee}: {findings:#?}");
    for finding in &findings {
        assert!(!finding.lines.is_empty(), "{finding:?} proves nothing");
        assert!(finding.lines.iter().all(|line| *line < story.entries.len()), "{finding:?}");
    }
    findings[0].clone()
}

#[test]
fn an_empty_history_proves_nothing() {
    let verdicts = check(&[], &Bounds::default());
    assert!(verdicts.iter().all(|(_, verdict)| *verdict == Verdict::NotExercised));
    assert_eq!(verdicts.iter().count(), Guarantee::ALL.len());
}

#[test]
fn every_guarantee_has_its_checker_in_the_order_of_the_numbers() {
    assert_eq!(CHECKERS.map(|(guarantee, _)| guarantee), Guarantee::ALL);
}
