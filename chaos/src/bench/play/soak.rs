//! Measures a soak: one load for minutes, with regular samples of the memory. A leak shows as a slope.

use std::{collections::BTreeMap, io, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep};

use super::calls;
use crate::{
    bench::{
        Point,
        figure::{Figures, Metric, Side},
        load::{self, drive, http::HttpCaller, tally::Window},
        measure::Role,
        scenario::Case,
        stage::{Stage, Subject},
    },
    run::Board,
};

/// How often to sample the memory.
const WEIGH_EVERY: Duration = Duration::from_secs(1);
/// The initial share that does not count: caches fill, which is no leak.
const SETTLING: f64 = 0.2;

/// Runs one load for the requested time.
pub(super) async fn play(
    stage: &Stage<'_>,
    subject: &Subject,
    case: Case,
    board: &mut Board,
) -> io::Result<Vec<Point>> {
    let case = stage.options.cases(&[case]).first().copied().unwrap_or(case);
    let (meter, span) = (stage.meter(subject, Side::Engine), stage.options.soak);
    let ask = calls::ask_of(stage, subject, case.work, Side::Engine)?;
    let callers = stream::iter(0..load::callers(case.load)).map(|_| HttpCaller::connect(ask.clone()));
    let callers: Vec<_> = callers.buffer_unordered(64).try_collect().await.map_err(io::Error::other)?;
    let from = Instant::now();
    let window = Window { from, until: from + span };
    let weighed = async {
        let mut weights = Vec::new();
        while Instant::now() < window.until {
            sleep(WEIGH_EVERY.min(span)).await;
            let seconds = from.elapsed().as_secs_f64();
            if let Some(bytes) = meter.resident().get(&Role::Engine) {
                weights.push((seconds, *bytes));
            }
            board.says(&format!("{case}: {seconds:.0} s of {} s", span.as_secs()));
        }
        weights
    };
    let (tally, cost, weights) = tokio::join!(drive(callers, case, window), meter.over(window), weighed);
    let mut round = calls::figures(case, &tally, cost.as_ref(), window);
    let settled: Vec<_> =
        weights.into_iter().filter(|(seconds, _)| *seconds > SETTLING * span.as_secs_f64()).collect();
    round.extend(slope(&settled).map(|bytes_a_second| (Metric::GrowthKib, bytes_a_second * 60.0 / 1024.0)));
    let failures = tally.failures.clone();
    let figures = Figures { curve: tally.latencies.curve(), failures, ..Figures::of(&[round]) };
    let sides = BTreeMap::from([(Side::Engine, figures)]);
    Ok(vec![Point { load: format!("{case} for {} s", span.as_secs()), sides, notes: Vec::new() }])
}

/// The slope of the best-fit line through the points; `None` if there are too few.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let (mean_x, mean_y) = (
        points.iter().map(|(x, _)| x).sum::<f64>() / count,
        points.iter().map(|(_, y)| y).sum::<f64>() / count,
    );
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let both: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    (points.len() > 2 && spread > 0.0).then(|| both / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_has_a_slope() {
        assert_eq!(slope(&[(0.0, 10.0), (1.0, 12.0), (2.0, 14.0)]), Some(2.0));
        assert_eq!(slope(&[(0.0, 10.0), (1.0, 10.0), (2.0, 10.0)]), Some(0.0));
        assert_eq!(slope(&[(0.0, 10.0), (1.0, 12.0)]), None);
    }
}
