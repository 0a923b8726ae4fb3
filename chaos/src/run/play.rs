//! One scenario from its first process to its last verdict: quiet, fault, healed, settle, over.

use std::{collections::BTreeMap, fs, io, path::Path, sync::Arc, time::Duration};

use schemas::{RequestId, Tenant};
use tokio::time::{Instant, interval};

use super::{
    Programs,
    board::Board,
    harvest::harvest,
    load::{Ground, Load},
    nemesis::Nemesis,
    rig::{Rig, settings, workers::resident_bytes},
    scenario::{Fault, Scenario, Step},
};
use crate::{
    history::{Door, Entry, Fact, Phase},
    scribe::{Book, Scribe},
    workload::{Ask, Planned, Profile, Reading, Target, TenantShare, Wire, Workload},
};

/// How long the load runs before the first fault: enough for latencies to compare with.
const QUIET: Duration = Duration::from_secs(4);
/// How long the load goes on after the last fault.
const HEALED: Duration = Duration::from_secs(4);
/// How long what was accepted may take to come to its end, after the load.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(40);
/// How often processes are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The most memory that a process of the engine may hold, in bytes.
pub(super) const RESIDENT_BYTES_MAX: f64 = 512.0 * 1024.0 * 1024.0;
/// A cancel or a repeat comes at most so long after its request: later, and the run would only wait for it.
const AFTER_MS_MAX: u64 = 5_000;
/// A reader that was cut stays away for at most so long.
const AWAY_MS_MAX: u64 = 1_500;
/// The longest pause of a slow reader between two frames.
const PAUSE_MS_MAX: u64 = 200;
/// Who is on the gateway, and on the bus.
const TENANTS: [&str; 2] = ["default", "acme"];
/// Who floods.
const FLOODER: &str = "flooder";
/// The longest answer to one who floods, in tokens: what is flooded is the queue.
const FLOOD_TOKENS_MAX: u32 = 5;

/// Plays `scenario` in `dir`, and returns its whole history.
pub(super) async fn play(
    scenario: &Scenario,
    dir: &Path,
    programs: &Programs,
    seed: u64,
    board: &mut Board,
) -> io::Result<Vec<Entry>> {
    fs::create_dir_all(dir)?;
    let book = Book::begin(&dir.join("history.jsonl"))?;
    let scribe = book.scribe();
    board.says("starting");
    let rig = Rig::start(scenario, dir, programs, seed, &scribe).await?;
    let load = Load::new(Arc::new(ground(&rig, &scribe).await?));
    phases(scenario, seed, &rig, &scribe, load, board).await?;
    board.says("reading what the broker keeps");
    rig.stop_engine().await;
    harvest(&rig, &scribe).await?;
    rig.stop_broker().await;
    scribe.write("harness", Fact::Phase { phase: Phase::Over });
    drop(rig);
    tokio::task::spawn_blocking(|| book.close()).await.map_err(io::Error::other)?
}

async fn ground(rig: &Rig, scribe: &Scribe) -> io::Result<Ground> {
    let mut buses = BTreeMap::new();
    for name in TENANTS.into_iter().chain([FLOODER]) {
        buses.insert(tenant(name), rig.bus().await?);
    }
    let receiver = rig.links.address(super::scenario::Link::Receiver);
    let receiver = receiver.ok_or_else(|| io::Error::other("no link to the receiver"))?;
    let callbacks = Target { url: format!("http://{receiver}"), secret: rig.canaries.callback_secret() };
    let key = schemas::Secret::new(rig.canaries.client_key.clone());
    Ground::new(scribe.clone(), rig.doors.clone(), buses, callbacks, key)
}

/// Goes through the phases.
async fn phases(
    scenario: &Scenario,
    seed: u64,
    rig: &Rig,
    scribe: &Scribe,
    mut load: Load,
    board: &mut Board,
) -> io::Result<()> {
    let ground = load.shared();
    let begin = |phase| scribe.write("harness", Fact::Phase { phase });
    let acts = async {
        begin(Phase::Quiet);
        load.play(usual("q", seed, QUIET), QUIET).await;
        begin(Phase::Fault);
        let span = Duration::from_secs(scenario.fault_seconds);
        let mut nemesis = Nemesis::new(rig, scribe, &ground.tally);
        let (struck, ()) =
            tokio::join!(nemesis.strike(scenario), load.play(under_fault(scenario, seed, span), span));
        struck?;
        begin(Phase::Healed);
        load.play(usual("h", seed, HEALED), HEALED).await;
        begin(Phase::Settle);
        load.settle(Instant::now() + SETTLE_MAX).await;
        Ok(())
    };
    tokio::select! {
        done = acts => done,
        never = watch(rig, scribe, &ground, board) => never,
    }
}

/// Looks at the processes and shows how it goes; never returns.
async fn watch(rig: &Rig, scribe: &Scribe, ground: &Ground, board: &mut Board) -> ! {
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        rig.look();
        for (role, pid) in rig.processes() {
            if let Some(value) = resident_bytes(pid) {
                let (gauge, cap) = (format!("rss_bytes {role}"), Some(RESIDENT_BYTES_MAX));
                scribe.write("harness", Fact::Measured { gauge, value, cap });
            }
        }
        let tally = &ground.tally;
        board.says(&format!(
            "{:>5} sent {:>5} accepted {:>4} refused {:>5} ended",
            tally.sent.get(),
            tally.accepted.get(),
            tally.refused.get(),
            tally.ended.get(),
        ));
    }
}

/// The load of a scenario that has nothing special.
fn usual(prefix: &str, seed: u64, span: Duration) -> Workload {
    let profile = super::scenario::Load::USUAL.profile(span, &profile());
    named(prefix, Workload::draw(crate::workload::mix(seed, span.as_secs()), &profile))
}

/// The load while things go wrong: with the floods, and the requests that make their worker spin.
fn under_fault(scenario: &Scenario, seed: u64, span: Duration) -> Workload {
    let mut workload = named("f", Workload::draw(seed, &scenario.load.profile(span, &profile())));
    for (index, step) in scenario.steps.iter().enumerate() {
        match step.fault {
            Fault::Flood(per_second) => workload.requests.extend(flood(step, per_second, seed)),
            Fault::Spin => workload.requests.push(spinner(step, index)),
            _ => {}
        }
    }
    workload.requests.sort_by_key(|planned| planned.at_ms);
    workload
}

fn flood(step: &Step, per_second: u64, seed: u64) -> Vec<Planned> {
    let profile = Profile {
        requests: per_second * step.lasts_ms / 1_000,
        span_ms: step.lasts_ms,
        tenants: vec![TenantShare { tenant: tenant(FLOODER), weight: 1, doors: vec![Door::Bus] }],
        tokens_max: FLOOD_TOKENS_MAX,
        callbacks: 0.0,
        cancels: 0.0,
        repeats: 0.0,
        bad: 0.0,
        ..profile()
    };
    let mut flood = named("x", Workload::draw(seed, &profile)).requests;
    flood.iter_mut().for_each(|planned| planned.at_ms += step.at_ms);
    flood
}

fn spinner(step: &Step, index: usize) -> Planned {
    Planned {
        at_ms: step.at_ms,
        key: crate::history::Key { tenant: tenant(TENANTS[1]), id: id(&format!("spin{index}")) },
        door: Door::Bus,
        ask: Ask {
            action: schemas::Action::ChatCompletion,
            embeds: false,
            model: "chaos-spin".into(),
            words: 20,
            tokens: 20,
            stream: true,
        },
        format: Wire::Json,
        deadline_ms: settings::DEADLINE_MS,
        priority: schemas::Priority::Standard,
        callback: false,
        bad: None,
        reading: Reading::Follow,
        cancel_after_ms: None,
        repeats: Vec::new(),
    }
}

fn profile() -> Profile {
    let doors = vec![Door::Bus, Door::Http, Door::Socket];
    Profile {
        burst: 0.1,
        tenants: vec![
            TenantShare { tenant: tenant(TENANTS[0]), weight: 3, doors },
            TenantShare { tenant: tenant(TENANTS[1]), weight: 1, doors: vec![Door::Bus] },
        ],
        chat_models: vec!["chaos-chat".into()],
        embedding_models: vec!["chaos-embed".into()],
        deadlines_ms: vec![settings::DEADLINE_MS],
        conflicts: 0.0,
        huge_bytes: 2 * settings::BODY_BYTES_MAX,
        ..Profile::default()
    }
}

/// The same with ids that no other part of the run uses.
fn named(prefix: &str, mut workload: Workload) -> Workload {
    for planned in &mut workload.requests {
        planned.key.id = id(&format!("{prefix}-{}", planned.key.id));
        planned.cancel_after_ms = planned.cancel_after_ms.map(|after| after.min(AFTER_MS_MAX));
        match &mut planned.reading {
            Reading::Resume { away_ms, .. } => *away_ms = (*away_ms).min(AWAY_MS_MAX),
            Reading::Slow { pause_ms } => *pause_ms = (*pause_ms).min(PAUSE_MS_MAX),
            Reading::Follow | Reading::Vanish { .. } => {}
        }
        planned.repeats.iter_mut().for_each(|repeat| repeat.after_ms = repeat.after_ms.min(AFTER_MS_MAX));
    }
    workload
}

fn tenant(name: &str) -> Tenant {
    Tenant::new(name).unwrap_or_else(|_| unreachable!("letters are a token"))
}

fn id(text: &str) -> RequestId {
    RequestId::new(text).unwrap_or_else(|_| unreachable!("letters, digits and - are a token"))
}
