//! Measures a backlog: publishes requests as fast as the broker takes them; the clock runs until the last outcome.

use std::{collections::BTreeMap, io, sync::Arc};

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::calls;
use crate::{
    bench::{
        Point,
        figure::{Figures, Metric, Round, Side},
        load::bus::Bus,
        scenario::Work,
        stage::{Stage, Subject},
    },
    run::Board,
};

/// How many publishes wait for their acks at once.
const PUBLISHING_MAX: usize = 1_000;
/// How long all of it may take: twenty requests per second would be no engine.
const DRAIN_MAX: std::time::Duration = std::time::Duration::from_secs(600);

/// Publishes, then waits for the outcomes.
pub(super) async fn play(
    stage: &Stage<'_>,
    subject: &Subject,
    requests: u32,
    board: &mut Board,
) -> io::Result<Vec<Point>> {
    let mut rounds = Vec::<(Side, Round)>::new();
    let mut notes = Vec::new();
    let has_floor = matches!(subject, Subject::Own(_, Some(_)));
    for round in 1..=stage.options.rounds {
        for side in [Side::Engine].into_iter().chain(has_floor.then_some(Side::Floor)) {
            board.says(&format!("{requests} requests: {side}, round {round} of {}", stage.options.rounds));
            let bus = calls::bus(stage, subject, Work::Publish { tenants: 1 }, side).await?;
            let (done, seconds) = drain(&bus, requests).await;
            let failed = f64::from(requests) - done;
            if failed > 0.0 {
                notes.push(format!("{side}: {failed} of {requests} had no good outcome in time"));
            }
            let memory = stage.meter(subject, side).resident();
            let mib = |role| memory.get(&role).map(|bytes| bytes / (1024.0 * 1024.0));
            let mut figures = Round::from([(Metric::Rate, done / seconds), (Metric::Failed, failed)]);
            figures.extend(mib(crate::bench::measure::Role::Engine).map(|mib| (Metric::EngineMib, mib)));
            figures.extend(mib(crate::bench::measure::Role::Broker).map(|mib| (Metric::BrokerMib, mib)));
            rounds.push((side, figures));
        }
    }
    let mut sides = BTreeMap::<Side, Vec<Round>>::new();
    for (side, round) in rounds {
        sides.entry(side).or_default().push(round);
    }
    let sides = sides.into_iter().map(|(side, rounds)| (side, Figures::of(&rounds))).collect();
    Ok(vec![Point { load: format!("{requests} requests"), sides, notes }])
}

/// How many requests succeeded, and the time from the first publish to the last outcome.
async fn drain(bus: &Arc<Bus>, requests: u32) -> (f64, f64) {
    let (began, mut done) = (Instant::now(), 0_u32);
    let deadline = began + DRAIN_MAX;
    let published = stream::iter(0..requests).map(|_| bus.publish()).buffer_unordered(PUBLISHING_MAX);
    let waiting: Vec<_> = published.filter_map(|told| async { told.ok() }).collect().await;
    for told in waiting {
        if let Ok(Ok(true)) = timeout_at(deadline, told).await {
            done += 1;
        }
    }
    (f64::from(done), began.elapsed().as_secs_f64())
}
