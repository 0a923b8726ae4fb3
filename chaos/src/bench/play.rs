//! Measures a scenario: one file per kind.

mod backlog;
mod calls;
mod retained;
mod soak;
mod sockets;
mod start;

use std::io;

use super::{
    Point, Skipped, System,
    scenario::{Case, Kind, Load, Scenario, Work},
    stage::Stage,
};
use crate::run::Board;

/// The result of a scenario.
#[derive(Debug)]
pub(super) enum End {
    /// It was measured, except for the skipped parts.
    Tested(Vec<Point>, Vec<Skipped>),
    /// It cannot be measured here, for this reason.
    Skipped(String),
}

/// Measures one scenario, with its own engine.
pub(super) async fn play(stage: &Stage<'_>, scenario: &Scenario, board: &mut Board) -> io::Result<End> {
    if let Some(why) = missing(stage, scenario) {
        return Ok(End::Skipped(why));
    }
    if matches!(scenario.kind, Kind::Start) {
        return Ok(End::Tested(start::play(stage, scenario.name, board).await?, Vec::new()));
    }
    let subject = stage.engine(scenario.name).await?;
    let mut left_out = Vec::new();
    let played = match scenario.kind {
        Kind::Calls(cases) => {
            let mut points = Vec::new();
            for case in stage.options.cases(cases) {
                match too_many(stage, connections(case)) {
                    Some(why) => left_out.push(Skipped { name: format!("{}: {case}", scenario.name), why }),
                    None => points.push(calls::point(stage, &subject, case, board).await?),
                }
            }
            Ok(points)
        }
        Kind::Sockets(counts) => {
            let mut points = Vec::new();
            for count in counts {
                match too_many(stage, *count) {
                    Some(why) => {
                        left_out.push(Skipped { name: format!("{}: {count}", scenario.name), why });
                    }
                    None => points.push(sockets::point(stage, &subject, *count, board).await?),
                }
            }
            Ok(points)
        }
        Kind::Backlog => backlog::play(stage, &subject, stage.options.backlog, board).await,
        Kind::Retained(counts, case) => retained::play(stage, &subject, counts, case, board).await,
        Kind::Soak(case) => soak::play(stage, &subject, case, board).await,
        Kind::Start => Ok(Vec::new()),
    };
    subject.stop().await;
    played.map(|points| End::Tested(points, left_out))
}

/// What a scenario needs and lacks here.
fn missing(stage: &Stage<'_>, scenario: &Scenario) -> Option<String> {
    let works = scenario.works();
    match &stage.options.system {
        System::Given(_) => {
            let plain = matches!(scenario.kind, Kind::Calls(_) | Kind::Soak(_));
            let is_openai = plain && works.iter().all(|work| work.is_openai());
            (!is_openai).then(|| "a given server is measured by OpenAI's API only".to_owned())
        }
        System::Own(_) => {
            let needs_bus = works.iter().any(|work| work.needs_bus());
            (needs_bus && !stage.options.has_bus())
                .then(|| "a broker in memory has no bus to publish on (--broker managed)".to_owned())
        }
    }
}

/// How many connections the load opens. The bus needs one.
const fn connections(case: Case) -> u32 {
    match (case.work, case.load) {
        (Work::Publish { .. }, _) => 1,
        (_, Load::Closed(at_once)) => at_once,
        (_, load @ Load::Open(_)) => super::load::callers(load),
    }
}

fn too_many(stage: &Stage<'_>, connections: u32) -> Option<String> {
    let max = stage.connections_max;
    (u64::from(connections) > max).then(|| {
        format!("only {max} connections may be open here: raise the limit of open files (ulimit -n)")
    })
}
