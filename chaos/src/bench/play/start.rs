//! Measures starts: from the start of the process until it reports ready, and until its first answer.

use std::{collections::BTreeMap, io};

use super::calls::ask_of;
use crate::{
    bench::{
        Point,
        figure::{Figures, Metric, Round, Side},
        load::{Caller, http::HttpCaller, tally::Notes},
        measure::Role,
        scenario::Work,
        stage::{Stage, Subject},
    },
    run::Board,
};

/// Starts and ends an engine, each round in a new directory, so that it finds no old state.
pub(super) async fn play(stage: &Stage<'_>, name: &str, board: &mut Board) -> io::Result<Vec<Point>> {
    let mut rounds = Vec::new();
    for round in 1..=stage.options.rounds {
        board.says(&format!("round {round} of {}", stage.options.rounds));
        rounds.push(once(stage, &format!("{name}-{round}")).await?);
    }
    let sides = BTreeMap::from([(Side::Engine, Figures::of(&rounds))]);
    Ok(vec![Point { load: "1 start".to_owned(), sides, notes: Vec::new() }])
}

async fn once(stage: &Stage<'_>, dir: &str) -> io::Result<Round> {
    let subject = stage.engine(dir).await?;
    let Subject::Own(engine, _) = &subject else { return Err(io::Error::other("there is no engine")) };
    let ready = engine.ready_after;
    let began = tokio::time::Instant::now();
    let ask = ask_of(stage, &subject, Work::Chat { delay_ms: 0 }, Side::Engine)?;
    let mut caller = HttpCaller::connect(ask).await.map_err(io::Error::other)?;
    caller.call(&mut Notes::default()).await.map_err(io::Error::other)?;
    let answered = ready + began.elapsed();
    let memory = stage.meter(&subject, Side::Engine).resident();
    subject.stop().await;
    let mut round = Round::from([
        (Metric::ReadyMs, ready.as_secs_f64() * 1e3),
        (Metric::FirstAnswerMs, answered.as_secs_f64() * 1e3),
    ]);
    let mib = |role| memory.get(&role).map(|bytes| bytes / (1024.0 * 1024.0));
    round.extend(mib(Role::Engine).map(|mib| (Metric::EngineMib, mib)));
    round.extend(mib(Role::Broker).map(|mib| (Metric::BrokerMib, mib)));
    Ok(round)
}
