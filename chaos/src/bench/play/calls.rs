//! Measures requests under one load: each round measures the provider alone, the engine and the floor in turn, so that
//! a disturbance of the machine affects them alike.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
use schemas::{Action, Tenant};
use tokio::time::Instant;

use crate::{
    bench::{
        Point, System, bare,
        environment::DISTURBED_CORES,
        figure::{Figures, Metric, Round, Side},
        load::{
            self, Caller, Failure, ask,
            bus::{Bus, BusCaller, Route},
            drive,
            http::{Ask, HttpCaller, Tenants},
            socket::SocketCaller,
            tally::{Notes, Tally, Window},
        },
        measure::{Cost, Role},
        scenario::{Case, Load, Work},
        stage::{Stage, Subject},
    },
    run::Board,
};
/// How many connections to open at once.
const CONNECTING_MAX: usize = 64;
/// A system that answers less than this share of the due requests could not keep up.
const KEPT_UP: f64 = 0.98;
/// A window holds at least this many answers of each caller: a window with part of one says nothing.
const ANSWERS_MIN: u32 = 4;
/// How long until callers that started one after the other are all running.
const SETTLING: Duration = Duration::from_millis(50);
const MIB: f64 = 1024.0 * 1024.0;

/// What was seen of one side in all rounds.
#[derive(Debug)]
struct Shown {
    rounds: Vec<Round>,
    tally: Tally,
}

/// Measures one case.
pub(super) async fn point(
    stage: &Stage<'_>,
    subject: &Subject,
    case: Case,
    board: &mut Board,
) -> io::Result<Point> {
    let mut shown = BTreeMap::<Side, Shown>::new();
    for round in 1..=stage.options.rounds {
        for side in sides(stage, subject, case) {
            board.says(&format!("{case}: {side}, round {round} of {}", stage.options.rounds));
            let (tally, cost, window) = measured(stage, subject, case, side).await?;
            let of_side =
                shown.entry(side).or_insert_with(|| Shown { rounds: Vec::new(), tally: Tally::new() });
            of_side.rounds.push(figures(case, &tally, cost.as_ref(), window));
            of_side.tally.merge(&tally);
        }
    }
    let notes = notes(case, &shown);
    let sides = shown.into_iter().map(|(side, shown)| {
        let failures = shown.tally.failures.clone();
        let curve = shown.tally.latencies.curve();
        (side, Figures { curve, failures, ..Figures::of(&shown.rounds) })
    });
    Ok(Point { load: case.to_string(), sides: sides.collect(), notes })
}

/// The sides to measure.
fn sides(stage: &Stage<'_>, subject: &Subject, case: Case) -> Vec<Side> {
    let mut sides = Vec::new();
    if stage.provider_at().is_some() {
        sides.push(Side::Direct);
    }
    sides.push(Side::Engine);
    // The floor has no provider: if most of the time is spent waiting for one, it says nothing.
    let is_durable = match case.work {
        Work::Publish { .. } | Work::ChatFor { .. } | Work::Chat { delay_ms: 0 } => true,
        Work::Chat { .. } => matches!(case.load, Load::Open(_)),
        _ => false,
    };
    if is_durable && matches!(subject, Subject::Own(_, Some(_))) {
        sides.push(Side::Floor);
    }
    sides
}

/// Measures one round of one side.
pub(super) async fn measured(
    stage: &Stage<'_>,
    subject: &Subject,
    case: Case,
    side: Side,
) -> io::Result<(Tally, Option<Cost>, Window)> {
    let meter = stage.meter(subject, side);
    let count = load::callers(case.load);
    let takes = case.work.takes();
    let span = || {
        let from = Instant::now() + stage.options.warm_up.max(takes + SETTLING);
        Window { from, until: from + stage.options.window.max(ANSWERS_MIN * takes) }
    };
    let (window, (tally, cost)) = match (side, case.work) {
        (Side::Floor, _) | (Side::Engine, Work::Publish { .. }) => {
            let bus = bus(stage, subject, case.work, side).await?;
            let mut callers: Vec<_> = (0..count).map(|_| BusCaller(bus.clone())).collect();
            introduce(&mut callers, bus.tenants()).await.map_err(failed)?;
            let window = span();
            (window, tokio::join!(drive(callers, case, window), meter.over(window)))
        }
        (Side::Engine, Work::Socket { chunks }) => {
            let callers = sockets(stage, subject, case.work, count, chunks).await?;
            let window = span();
            (window, tokio::join!(drive(callers, case, window), meter.over(window)))
        }
        _ => {
            let (ask, tenants) = ask_for(stage, subject, case.work, side).await?;
            let callers = stream::iter(0..count).map(|_| HttpCaller::connect(ask.clone()));
            let mut callers: Vec<_> =
                callers.buffer_unordered(CONNECTING_MAX).try_collect().await.map_err(failed)?;
            introduce(&mut callers, tenants).await.map_err(failed)?;
            let window = span();
            (window, tokio::join!(drive(callers, case, window), meter.over(window)))
        }
    };
    Ok((tally, cost, window))
}

/// Sends one request for each tenant if there are several: a tenant's first request costs more than those that follow.
async fn introduce<C: Caller>(callers: &mut [C], tenants: usize) -> Result<(), Failure> {
    let turns = if tenants > 1 { tenants.div_ceil(callers.len().max(1)) } else { 0 };
    let firsts = callers.iter_mut().map(|caller| async move {
        for _ in 0..turns {
            caller.call(&mut Notes::default()).await?;
        }
        Ok(())
    });
    try_join_all(firsts).await.map(drop)
}

/// The HTTP request, and how many tenants send it.
async fn ask_for(stage: &Stage<'_>, subject: &Subject, work: Work, side: Side) -> io::Result<(Ask, usize)> {
    let ask = ask_of(stage, subject, work, side)?;
    match (work, subject) {
        (Work::ChatFor { tenants }, Subject::Own(engine, _)) if side == Side::Engine => {
            let key = Some(engine.operators_key().await?);
            let of_tenants = Some(Tenants::new(tenants).map_err(failed)?);
            Ok((Ask { key, tenants: of_tenants, ..ask }, tenants as usize))
        }
        _ => Ok((ask, 1)),
    }
}

fn failed(why: Failure) -> io::Error {
    io::Error::other(format!("the load could not begin: {why}"))
}

/// The HTTP request, to the provider itself or to the engine.
pub(super) fn ask_of(stage: &Stage<'_>, subject: &Subject, work: Work, side: Side) -> io::Result<Ask> {
    let is_direct = side == Side::Direct;
    let (authority, key) = match (&stage.options.system, subject) {
        _ if is_direct => {
            let at = stage.provider_at().ok_or_else(|| io::Error::other("there is no provider"))?;
            (at.to_string(), None)
        }
        (System::Given(target), _) => (target.authority.clone(), target.key.clone()),
        (System::Own(_), Subject::Own(engine, _)) => (engine.at.to_string(), None),
        (System::Own(_), Subject::Given) => return Err(io::Error::other("there is no engine")),
    };
    let model = if is_direct { work.model() } else { stage.model(work) };
    let is_stream = work.chunks() > 0;
    Ok(Ask {
        authority,
        path: ask::path(work).to_owned(),
        key,
        body: ask::body(work, &model),
        is_stream,
        // Only our provider sends a known number of chunks.
        chunks: (is_stream && stage.provider_at().is_some()).then(|| work.chunks()),
        tenants: None,
    })
}

/// The bus, with the subjects of the engine or of the bare pipeline.
pub(super) async fn bus(
    stage: &Stage<'_>,
    subject: &Subject,
    work: Work,
    side: Side,
) -> io::Result<Arc<Bus>> {
    let Subject::Own(engine, _) = subject else { return Err(io::Error::other("there is no bus")) };
    let url = engine.bus.as_deref().ok_or_else(|| io::Error::other("there is no bus"))?;
    let tenants = if let Work::Publish { tenants } | Work::ChatFor { tenants } = work { tenants } else { 1 };
    let mut requests = Vec::new();
    for tenant in 1..=tenants {
        let tenant = Tenant::new(format!("bench{tenant}")).map_err(io::Error::other)?;
        let requested = match side {
            Side::Floor => format!("{}.{tenant}", bare::REQUESTS),
            _ => engine.subjects.request(&tenant, Action::ChatCompletion),
        };
        requests.push((requested, tenant.to_string()));
    }
    let body: Bytes = ask::envelope(&stage.model(Work::Publish { tenants }));
    let (outcomes, is_judged) = match side {
        Side::Floor => (bare::outcomes(), false),
        _ => (format!("{}.res.>", engine.subjects.prefix()), true),
    };
    Bus::connect(url, Route { requests, outcomes, body, is_judged }).await
}

async fn sockets(
    stage: &Stage<'_>,
    subject: &Subject,
    work: Work,
    count: u32,
    chunks: u32,
) -> io::Result<Vec<SocketCaller>> {
    let Subject::Own(engine, _) = subject else { return Err(io::Error::other("there is no engine")) };
    let (at, frame) = (engine.at.to_string(), ask::frame(&stage.model(work)));
    let callers = stream::iter(0..count).map(|_| SocketCaller::connect(&at, None, frame.clone(), chunks));
    callers.buffer_unordered(CONNECTING_MAX).try_collect().await.map_err(failed)
}

/// The metrics of one round.
pub(super) fn figures(case: Case, tally: &Tally, cost: Option<&Cost>, window: Window) -> Round {
    let (seconds, done) = (window.seconds(), tally.done as f64);
    let mut round = Round::from([(Metric::Rate, done / seconds), (Metric::Failed, tally.failures() as f64)]);
    let chunks = f64::from(case.work.chunks());
    let times = [
        (Metric::P50Ms, &tally.latencies, 0.5),
        (Metric::P90Ms, &tally.latencies, 0.9),
        (Metric::P99Ms, &tally.latencies, 0.99),
        (Metric::P999Ms, &tally.latencies, 0.999),
        (Metric::FirstP50Ms, &tally.firsts, 0.5),
        (Metric::FirstP99Ms, &tally.firsts, 0.99),
        (Metric::ChunkP50Ms, &tally.chunks, 0.5),
        (Metric::ChunkP99Ms, &tally.chunks, 0.99),
        (Metric::GapP99Ms, &tally.gaps, 0.99),
        (Metric::LateP99Ms, &tally.lateness, 0.99),
    ];
    round.extend(
        times.into_iter().filter_map(|(metric, times, share)| Some((metric, times.quantile_ms(share)?))),
    );
    if chunks > 0.0 {
        round.insert(Metric::ChunkRate, done * chunks / seconds);
    }
    let Some(cost) = cost else { return round };
    round.insert(Metric::ElsewhereCores, cost.elsewhere);
    let memory = [(Metric::EngineMib, Role::Engine), (Metric::BrokerMib, Role::Broker)];
    round.extend(
        memory.into_iter().filter_map(|(metric, role)| Some((metric, cost.resident.get(&role)? / MIB))),
    );
    let cpu = |role| cost.cpu.get(&role).map(Duration::as_secs_f64);
    if done > 0.0 {
        round.extend(cpu(Role::Load).map(|load| (Metric::LoadCpuMs, load * 1e3 / done)));
        round.extend(cpu(Role::Broker).map(|broker| (Metric::BrokerCpuMs, broker * 1e3 / done)));
    }
    if let Some(engine) = cpu(Role::Engine).filter(|_| done > 0.0) {
        let both = engine + cpu(Role::Broker).unwrap_or_default();
        round.insert(Metric::CpuMs, both * 1e3 / done);
        if chunks > 0.0 {
            round.insert(Metric::CpuChunkUs, both * 1e6 / (done * chunks));
        }
    }
    round
}

/// What a reader must know about these figures.
fn notes(case: Case, shown: &BTreeMap<Side, Shown>) -> Vec<String> {
    let mut notes = Vec::new();
    for (side, Shown { rounds, tally }) in shown {
        let most = |metric| {
            rounds.iter().filter_map(|round: &Round| round.get(&metric).copied()).fold(0.0, f64::max)
        };
        let elsewhere = most(Metric::ElsewhereCores);
        if elsewhere > DISTURBED_CORES {
            notes.push(format!("{side}: other processes took up to {elsewhere:.2} cores meanwhile"));
        }
        if let Load::Open(rate) = case.load {
            let least = rounds.iter().filter_map(|round| round.get(&Metric::Rate)).copied();
            let least = least.fold(f64::INFINITY, f64::min);
            if least < KEPT_UP * f64::from(rate) {
                notes.push(format!("{side}: could not keep up, {least:.0} of {rate} a second were answered"));
            }
        }
        for (why, times) in &tally.failures {
            notes.push(format!("{side}: {times} failed: {why}"));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::tally::Notes;

    fn window() -> Window {
        let now = Instant::now();
        Window { from: now, until: now + Duration::from_secs(2) }
    }

    #[test]
    fn a_round_is_figures_by_second_and_by_request() {
        let (case, window) = (Case::closed(Work::Chat { delay_ms: 0 }, 2), window());
        let mut tally = Tally::new();
        for ms in 1..=100 {
            tally.done(window.from, window.from + Duration::from_millis(ms), &Notes::default());
        }
        let cpu = [(Role::Engine, 30), (Role::Broker, 20), (Role::Load, 10)];
        let cost = Cost {
            cpu: cpu.into_iter().map(|(role, ms)| (role, Duration::from_millis(ms))).collect(),
            resident: [(Role::Engine, 3.0 * MIB)].into_iter().collect(),
            elsewhere: 0.1,
        };
        let round = figures(case, &tally, Some(&cost), window);
        assert_eq!(round[&Metric::Rate], 50.0);
        assert_eq!(round[&Metric::P50Ms].round(), 50.0);
        assert_eq!((round[&Metric::CpuMs], round[&Metric::BrokerCpuMs]), (0.5, 0.2));
        assert_eq!(round[&Metric::EngineMib], 3.0);
        assert!(!round.contains_key(&Metric::ChunkRate) && !round.contains_key(&Metric::FirstP50Ms));
        assert!(!figures(case, &tally, None, window).contains_key(&Metric::CpuMs), "no /proc, no CPU");
    }

    #[test]
    fn what_spoils_figures_is_noted() {
        let case = Case::open(Work::Chat { delay_ms: 0 }, 100);
        let mut tally = Tally::new();
        tally.failed("status 429");
        let round = Round::from([(Metric::Rate, 50.0), (Metric::ElsewhereCores, 1.5)]);
        let shown = BTreeMap::from([(Side::Engine, Shown { rounds: vec![round], tally })]);
        assert_eq!(
            notes(case, &shown),
            [
                "engine: other processes took up to 1.50 cores meanwhile",
                "engine: could not keep up, 50 of 100 a second were answered",
                "engine: 1 failed: status 429",
            ]
        );
    }
}
