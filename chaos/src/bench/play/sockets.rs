//! Measures idle WebSockets: how much more memory the engine holds with them than without.

use std::{collections::BTreeMap, io, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;

use crate::{
    bench::{
        Point,
        figure::{Figures, Metric, Round, Side},
        load::socket::{self, Socket},
        measure::Role,
        stage::{Stage, Subject},
    },
    run::Board,
};

/// How many sockets to open at once.
const CONNECTING_MAX: usize = 64;
/// How long the engine is left alone before its memory is measured.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// Opens `count` sockets, measures the memory, and closes them again, once per round.
pub(super) async fn point(
    stage: &Stage<'_>,
    subject: &Subject,
    count: u32,
    board: &mut Board,
) -> io::Result<Point> {
    let Subject::Own(engine, _) = subject else { return Err(io::Error::other("there is no engine")) };
    let (at, meter) = (engine.at.to_string(), stage.meter(subject, Side::Engine));
    let held = || meter.resident().get(&Role::Engine).copied().unwrap_or_default();
    let mut rounds = Vec::new();
    for round in 1..=stage.options.rounds {
        board.says(&format!("{count} sockets, round {round} of {}", stage.options.rounds));
        sleep(SETTLED_AFTER).await;
        let before = held();
        let sockets = stream::iter(0..count).map(|_| socket::connect(&at, None));
        let sockets: Vec<Socket> =
            sockets.buffer_unordered(CONNECTING_MAX).try_collect().await.map_err(io::Error::other)?;
        sleep(SETTLED_AFTER).await;
        let with = held();
        let mut figures = Round::from([(Metric::EngineMib, with / (1024.0 * 1024.0))]);
        // Memory freed in an earlier round is reused: only the first round shows what sockets take.
        if round == 1 {
            figures.insert(Metric::SocketKib, (with - before) / 1024.0 / f64::from(count));
        }
        rounds.push(figures);
        drop(sockets);
    }
    let sides = BTreeMap::from([(Side::Engine, Figures::of(&rounds))]);
    Ok(Point { load: format!("{count} sockets"), sides, notes: Vec::new() })
}
