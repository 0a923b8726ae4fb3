//! Measures how long requests took, from their send to the first sight of their end. It belongs to no guarantee:
//! liveness and the report read it.

use super::index::Index;

/// The latencies of the requests that were sent from `from_ms` on and before `until_ms`, sorted.
pub(crate) fn between(index: &Index<'_>, from_ms: u64, until_ms: u64) -> Vec<u64> {
    let mut latencies: Vec<_> = points(index)
        .filter(|(sent_ms, _)| (from_ms..until_ms).contains(sent_ms))
        .map(|(_, took_ms)| took_ms)
        .collect();
    latencies.sort_unstable();
    latencies
}

/// When each accepted request was sent, and how long it took.
pub(crate) fn points(index: &Index<'_>) -> impl Iterator<Item = (u64, u64)> {
    index.requests.values().filter_map(|request| {
        let (send, _) = request.accepted_send()?;
        let end = request.ended().filter(|end| *end > send.at)?;
        Some((send.at.ms, end.ms - send.at.ms))
    })
}

/// The value below which `percent` of `sorted` lie (the nearest rank); 0 if there are none.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}
