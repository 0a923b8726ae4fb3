//! The simulation: the same seed gives the same run, and no seed breaks a guarantee.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::{env, process::Command, thread};

use chaos::simulation::{
    self, Scenario,
    campaign::{self, Failure},
};
use sha2::{Digest, Sha256};

/// Seeds that every build runs: under two minutes on two slow cores.
const SEEDS: u64 = 200;
/// Seeds that are run twice.
const TWICE: u64 = 6;
/// As many events of the broker as a run can have.
const LOG_ENTRIES_MAX: usize = 1_000_000;
/// Set where this program runs as a child, and only tells the digest of these runs.
const CHILD: &str = "DYNODE_TEST_SIMULATION_CHILD";
/// Scenarios that have failed once, made small.
const KEPT: [(&str, &str); 16] = [
    (
        "conflict-when-all-has-been-forgotten",
        include_str!("../seeds/conflict-when-all-has-been-forgotten.json"),
    ),
    ("conflict-at-a-new-gateway", include_str!("../seeds/conflict-at-a-new-gateway.json")),
    ("conflict-with-work-that-waits", include_str!("../seeds/conflict-with-work-that-waits.json")),
    ("callback-of-a-refusal", include_str!("../seeds/callback-of-a-refusal.json")),
    ("attempt-that-nobody-remembers", include_str!("../seeds/attempt-that-nobody-remembers.json")),
    (
        "work-that-ran-twice-after-a-restart",
        include_str!("../seeds/work-that-ran-twice-after-a-restart.json"),
    ),
    ("handed-back-and-delivered-again", include_str!("../seeds/handed-back-and-delivered-again.json")),
    ("published-again-after-its-end", include_str!("../seeds/published-again-after-its-end.json")),
    (
        "retry-after-told-to-an-engine-that-drains",
        include_str!("../seeds/retry-after-told-to-an-engine-that-drains.json"),
    ),
    ("retry-after-shorter-than-the-last", include_str!("../seeds/retry-after-shorter-than-the-last.json")),
    ("repeated-while-its-work-waits", include_str!("../seeds/repeated-while-its-work-waits.json")),
    ("given-up-before-it-was-work", include_str!("../seeds/given-up-before-it-was-work.json")),
    ("given-up-under-one-number", include_str!("../seeds/given-up-under-one-number.json")),
    ("handed-back-where-there-is-no-room", include_str!("../seeds/handed-back-where-there-is-no-room.json")),
    (
        "parked-callback-when-there-is-no-room",
        include_str!("../seeds/parked-callback-when-there-is-no-room.json"),
    ),
    ("tried-again-at-a-new-consumer", include_str!("../seeds/tried-again-at-a-new-consumer.json")),
];

/// Everything that can be told of a run: the history, and what the broker did.
fn told(seed: u64) -> String {
    let run = simulation::run(Scenario::draw(seed), LOG_ENTRIES_MAX).unwrap();
    let history = run.history.iter().map(|entry| serde_json::to_string(entry).unwrap());
    history.chain(run.broker).collect::<Vec<_>>().join("\n")
}

fn digest() -> String {
    let told: String = (0..TWICE).map(told).collect();
    Sha256::digest(told).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_seed_gives_the_same_run_to_the_byte() {
    for seed in 0..TWICE {
        let (one, two) = (told(seed), told(seed));
        if let Some((line, (one, two))) = one.lines().zip(two.lines()).enumerate().find(|(_, (a, b))| a != b)
        {
            panic!("seed {seed}, line {line}:\n{one}\n{two}");
        }
        assert_eq!(one.len(), two.len(), "seed {seed}");
    }
}

#[test]
fn a_seed_gives_the_same_run_in_another_process() {
    if env::var_os(CHILD).is_some() {
        println!("digest={}", digest());
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "a_seed_gives_the_same_run_in_another_process", "--nocapture"]).env(CHILD, "1");
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = format!("digest={}", digest());
    assert!(said.contains(&expected), "expected {expected}, the other process said {said}");
}

#[test]
fn no_scenario_that_has_failed_once_fails_again() {
    for (name, text) in KEPT {
        let case = campaign::examine(serde_json::from_str(text).unwrap(), false).unwrap();
        assert!(case.is_none(), "{name}: {case:#?}");
    }
}

#[test]
fn no_seed_breaks_a_guarantee() {
    let seeds: Vec<u64> = (0..SEEDS).collect();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let summary = campaign::run_seeds(&seeds, threads, |_, _| {});
    assert!(summary.broken.is_empty(), "{:?}", summary.broken);
    let failures: Vec<_> = summary.failures.iter().map(show).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(summary.shortcomings().is_empty(), "{:#?}", summary.shortcomings());
}

fn show(Failure { seed, findings, .. }: &Failure) -> String {
    let first = &findings[0];
    format!(
        "seed {seed}: {} {}: {} ({} findings); replay with `dynode chaos simulate --seed {seed}`",
        first.guarantee,
        first.kind,
        first.sentence,
        findings.len()
    )
}
