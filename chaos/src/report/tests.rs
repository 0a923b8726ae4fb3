use schemas::{ErrorCode, RequestId, Status, Tenant};

use super::*;
use crate::checker::Bounds;
use crate::history::{Door, Entry, Fact, Key, Phase, Signal};

fn line(at_ms: u64, by: &str, fact: Fact) -> Entry {
    Entry { at_ms, by: by.to_owned(), fact }
}

/// One request that is sent at `sent_ms`, read, answered by one call, and recorded after the run.
fn request(number: u64, sent_ms: u64, took_ms: u64, status: Status) -> Vec<Entry> {
    let request =
        Key { tenant: Tenant::new("acme").unwrap(), id: RequestId::new(format!("r{number}")).unwrap() };
    let key = || request.clone();
    let reader = || "a".to_owned();
    let sent = Fact::Sent {
        request: key(),
        door: Door::Http,
        deadline_ms: 10_000,
        callback: false,
        fingerprint: "f".into(),
    };
    let called = Fact::Called {
        call: number,
        request: Some(key()),
        idempotency_key: Some(request.id.to_string()),
        model: "sim".into(),
    };
    let answered = Fact::Answered {
        call: number,
        status: Some(200),
        whole: true,
        caller_gone: false,
        retry_after_ms: None,
        tokens: 5,
    };
    let frame = |seq, event: &str, text: Option<&str>, status| {
        let (request, reader, event, text) = (key(), reader(), event.to_owned(), text.map(str::to_owned));
        Fact::Frame { request, reader, attempt: 1, seq, event, text, status }
    };
    let end = sent_ms + took_ms;
    let code = (status != Status::Succeeded).then_some(ErrorCode::ProviderError);
    let recorded = Fact::Recorded {
        request: key(),
        status,
        code,
        text: Some("hi".into()),
        digest: "d".into(),
        calls: 1,
        tokens: 5,
    };
    vec![
        line(sent_ms, "client 1", sent),
        line(sent_ms + 1, "client 1", Fact::Accepted { request: key() }),
        line(sent_ms + 1, "client 1", Fact::Reads { request: key(), reader: reader(), after: None }),
        line(sent_ms + 2, "provider", called),
        line(end, "provider", answered),
        line(end, "client 1", frame(0, "running", None, None)),
        line(end, "client 1", frame(1, "chat.complete", Some("hi"), Some(status))),
        line(40_000, "harness", recorded),
    ]
}

/// A worker is killed twice under load. `broken`: one outcome is gone, and one fault never struck.
fn history(broken: bool) -> Vec<Entry> {
    let phase = |at_ms, phase| line(at_ms, "harness", Fact::Phase { phase });
    let worker = |at_ms, pid, ended: Option<&str>| {
        line(
            at_ms,
            "harness",
            Fact::Process { role: "worker-1".into(), pid, ended: ended.map(str::to_owned) },
        )
    };
    let killed = |at_ms, pid| {
        line(at_ms, "nemesis", Fact::Signalled { role: "worker-1".into(), pid, signal: Signal::Kill })
    };
    let (fault, target) = (|| "kill".to_owned(), || "worker-1".to_owned());
    let mut entries = vec![
        phase(0, Phase::Quiet),
        phase(10_000, Phase::Fault),
        phase(20_000, Phase::Healed),
        phase(30_000, Phase::Settle),
        phase(40_000, Phase::Over),
        worker(0, 1, None),
        killed(12_000, 1),
        worker(12_000, 1, Some("signal 9")),
        worker(13_000, 2, None),
        killed(16_000, 2),
        worker(16_000, 2, Some("signal 9")),
        worker(17_000, 3, None),
    ];
    for at in [12_000, 16_000] {
        entries.push(line(at, "nemesis", Fact::Injected { fault: fault(), target: target() }));
        entries.push(line(at + 1_000, "nemesis", Fact::Healed { fault: fault(), target: target() }));
    }
    entries.push(line(20_000, "nemesis", Fact::Fired { fault: fault(), times: if broken { 0 } else { 2 } }));
    for number in 0..120 {
        let sent_ms = number * 250;
        let took_ms = match sent_ms {
            11_500..13_000 | 15_500..17_000 => 1_800 + number * 7,
            _ => 60 + number * 37 % 90,
        };
        let status = if number % 50 == 49 { Status::Failed } else { Status::Succeeded };
        let mut told = request(number, sent_ms, took_ms, status);
        if broken && number == 60 {
            told.pop();
        }
        entries.extend(told);
    }
    entries.sort_by_key(|entry| entry.at_ms);
    entries
}

fn scenario(name: &str, broken: bool) -> Scenario {
    let demands = Demands {
        accepted_min: 100,
        faults: vec!["kill".into()],
        exercises: vec![Guarantee::I1, Guarantee::I13],
    };
    let about = "A worker is killed twice under load; its work goes on elsewhere.";
    Scenario::of(name, about, &history(broken), &Bounds::default(), &demands)
}

fn run(scenarios: Vec<Scenario>) -> Run {
    Run {
        began: "2026-01-02 03:04:05 UTC".into(),
        took_ms: 81_500,
        seed: 42,
        versions: vec![("dynode".into(), "0.1.0".into()), ("nats-server".into(), "2.15.0".into())],
        weaknesses: vec![Weakness {
            setting: "sync_interval = 100ms".into(),
            means: "a power failure may cost the last 100 ms".into(),
        }],
        scenarios,
        skipped: vec![Skipped {
            name: "broker-disk-full".into(),
            why: "needs a file system of its own".into(),
        }],
        replay: "dynode chaos run --scenario all --seed 42".into(),
    }
}

fn good() -> Run {
    run(vec![scenario("worker-killed", false)])
}

fn bad() -> Run {
    run(vec![scenario("worker-killed", false), scenario("worker-killed-badly", true)])
}

#[test]
fn a_terminal_shows_what_held_and_what_broke() {
    insta::assert_snapshot!("terminal_good", terminal(&good()));
    insta::assert_snapshot!("terminal_bad", terminal(&bad()));
}

#[test]
fn markdown_shows_every_finding() {
    insta::assert_snapshot!("markdown_bad", markdown(&bad()));
}

#[test]
fn html_is_one_file_with_a_picture() {
    let page = html(&bad());
    for outside in ["<script", "http:", "https:", "@import", "url("] {
        assert!(!page.contains(outside), "the page asks for `{outside}`");
    }
    assert_eq!(page.matches("<svg").count(), 2);
    insta::assert_snapshot!("html_bad", page);
}

#[test]
fn what_comes_from_outside_cannot_become_markup() {
    let mut run = good();
    run.scenarios[0].name = "<script>alert(1)</script>".into();
    run.scenarios[0].timeline.faults[0].target = "\"><script>".into();
    run.versions[0].1 = "<script>".into();
    assert!(!html(&run).contains("<script"));
}

#[test]
fn the_worst_decides_the_exit_code() {
    let kind = |guarantee| {
        let mut run = good();
        let finding = crate::checker::Finding {
            guarantee,
            request: None,
            kind: "k",
            sentence: "s".into(),
            lines: vec![0],
        };
        let verdict = Verdict::Broken { findings: vec![finding] };
        run.scenarios[0].verdicts = [(guarantee, verdict)].into_iter().collect();
        run
    };
    assert_eq!(good().exit().code(), 0);
    assert_eq!(kind(Guarantee::I1).exit().code(), 1);
    assert_eq!(kind(Guarantee::I15).exit().code(), 2);
    let mut short = good();
    short.scenarios[0].shortfalls.push(Shortfall::NeverFired { fault: "kill".into() });
    assert_eq!(short.exit().code(), 3);
    short.scenarios.extend(kind(Guarantee::I12).scenarios);
    assert_eq!(short.exit().code(), 2, "what is late outweighs what was not tried");
    short.scenarios.extend(kind(Guarantee::I6).scenarios);
    assert_eq!(short.exit().code(), 1, "what is wrong outweighs all");
    assert_eq!(run(vec![]).exit().code(), 3, "a run without a scenario proves nothing");
    let spoilt = scenario("s", false).spoilt("no port".into());
    assert_eq!((spoilt.exit().code(), run(vec![spoilt]).exit().code()), (3, 3));
}

#[test]
fn a_run_that_tried_too_little_has_not_passed() {
    let of =
        |demands: &Demands| Scenario::of("s", "", &history(false), &Bounds::default(), demands).shortfalls;
    let none = Demands::default();
    assert_eq!(of(&none), []);
    let accepted_min = 121;
    assert_eq!(
        of(&Demands { accepted_min, ..none.clone() }),
        [Shortfall::TooLittle { accepted: 120, wanted: 121 }]
    );
    let faults = vec!["cut".to_owned()];
    assert_eq!(of(&Demands { faults, ..none.clone() }), [Shortfall::NeverFired { fault: "cut".into() }]);
    let exercises = vec![Guarantee::I18];
    assert_eq!(of(&Demands { exercises, ..none }), [Shortfall::NotExercised { guarantee: Guarantee::I18 }]);
    assert_eq!(scenario("s", true).shortfalls, [Shortfall::NeverFired { fault: "kill".into() }]);
}

#[test]
fn the_numbers_of_a_scenario_are_those_of_its_history() {
    let scenario = scenario("s", true);
    let tally = scenario.tally;
    assert_eq!((tally.attempted, tally.accepted, tally.lost), (120, 120, 1));
    assert_eq!((tally.succeeded, tally.failed, tally.refused), (118, 2, 0));
    assert_eq!(scenario.latencies.quiet.map(|quiet| quiet.requests), Some(40));
    assert_eq!(scenario.latencies.recovered_ms, Some(0));
    assert_eq!(scenario.timeline.processes["worker-1"].len(), 3);
    assert_eq!(scenario.timeline.faults.len(), 2);
    assert_eq!(scenario.timeline.sent.iter().sum::<u32>(), 120);
}
