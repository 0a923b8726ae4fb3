//! Measures how long requests took before, during and after the faults, and how soon the engine recovered.

use serde::Serialize;

use crate::checker::{Bounds, index::Index, latency};
use crate::history::Phase;

/// The engine has recovered once this many requests in a row are as fast as before.
const RECOVERED_AFTER: usize = 20;

/// Latencies by phase of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Latencies {
    /// Before the faults.
    pub quiet: Option<Percentiles>,
    /// During the faults.
    pub fault: Option<Percentiles>,
    /// After the faults.
    pub healed: Option<Percentiles>,
    /// How long after the last fault requests were fast again, in milliseconds.
    pub recovered_ms: Option<u64>,
}

/// Latencies of accepted requests, from sending to the first sight of the end, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// The number of requests.
    pub requests: usize,
    /// Half of them took no longer.
    pub p50_ms: u64,
    /// All but a hundredth took no longer.
    pub p99_ms: u64,
}

impl Percentiles {
    fn of(sorted: &[u64]) -> Option<Self> {
        let percentile = |percent| latency::percentile(sorted, percent);
        (!sorted.is_empty()).then(|| Self {
            requests: sorted.len(),
            p50_ms: percentile(50),
            p99_ms: percentile(99),
        })
    }
}

impl Latencies {
    pub(super) fn of(index: &Index<'_>, bounds: &Bounds) -> Self {
        let over = index.over_ms() + 1;
        let start = |phase| index.phase(phase).map(|at| at.ms);
        let [quiet, fault, healed, settle] =
            [Phase::Quiet, Phase::Fault, Phase::Healed, Phase::Settle].map(start);
        // A phase lasts until the next phase that the run had.
        let until = |later: &[Option<u64>]| later.iter().copied().flatten().next().unwrap_or(over);
        let within = |from: Option<u64>, until| {
            from.and_then(|from| Percentiles::of(&latency::between(index, from, until)))
        };
        let quiet = within(quiet, until(&[fault, healed, settle]));
        Self {
            quiet,
            fault: within(fault, until(&[healed, settle])),
            healed: within(healed, until(&[settle])),
            recovered_ms: healed
                .zip(quiet)
                .and_then(|(healed, quiet)| recovered(index, bounds, healed, quiet)),
        }
    }
}

/// The time until the first of this many requests in a row that were as fast as in the quiet phase.
fn recovered(index: &Index<'_>, bounds: &Bounds, healed_ms: u64, quiet: Percentiles) -> Option<u64> {
    let quick_ms = bounds.latency_floor_ms.max((quiet.p99_ms as f64 * bounds.latency_factor) as u64);
    let mut points: Vec<_> = latency::points(index).filter(|(sent_ms, _)| *sent_ms >= healed_ms).collect();
    points.sort_unstable();
    let quick = |run: &&[(u64, u64)]| run.iter().all(|(_, took_ms)| *took_ms <= quick_ms);
    let first = points.windows(RECOVERED_AFTER).find(quick)?.first()?;
    Some(first.0 - healed_ms)
}
