//! Collects what callers see, in fixed-size histograms that all callers of one thread share. Counts only what
//! belongs to the measured window.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// The longest time that is distinguished, in microseconds: ten minutes. A longer one counts as this.
const LONGEST_US: u64 = 600_000_000;
/// The number of significant digits of every time.
const DIGITS: u8 = 3;

/// The measured window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

impl Window {
    pub(crate) fn holds(&self, moment: Instant) -> bool {
        self.from <= moment && moment < self.until
    }

    pub(crate) fn seconds(&self) -> f64 {
        (self.until - self.from).as_secs_f64()
    }
}

/// Times in microseconds, to three digits.
#[derive(Debug, Clone)]
pub(crate) struct Times(Option<Histogram<u64>>);

impl Times {
    /// No times yet.
    pub(crate) fn new() -> Self {
        // The bounds are valid, so this always succeeds.
        Self(Histogram::new_with_bounds(1, LONGEST_US, DIGITS).ok())
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.record_us(u64::try_from(time.as_micros()).unwrap_or(LONGEST_US));
    }

    pub(crate) fn record_us(&mut self, us: u64) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(us.max(1));
        }
    }

    /// Adds the times of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        if let (Some(histogram), Some(other)) = (&mut self.0, &other.0) {
            // Fails only for a wider histogram, and all are equally wide.
            let _ = histogram.add(other);
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, Histogram::len)
    }

    /// The time that this share of them did not exceed, in milliseconds; `None` if there are none.
    pub(crate) fn quantile_ms(&self, share: f64) -> Option<f64> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(histogram.value_at_quantile(share) as f64 / 1_000.0)
    }

    /// Shares and times in milliseconds, finer towards the slowest, as far as there are requests to distinguish them.
    pub(crate) fn curve(&self) -> Vec<(f64, f64)> {
        const STEPS: [f64; 6] = [0.0, 0.25, 0.5, 0.65, 0.8, 0.9];
        let len = self.len() as f64;
        let mut curve = Vec::new();
        let mut rest = 1.0;
        while rest * len >= 1.0 && rest > 1e-6 {
            for step in STEPS {
                let share = 1.0 - rest * (1.0 - step);
                // The end of a decade is the start of the next.
                if step < 0.9
                    && let Some(ms) = self.quantile_ms(share)
                {
                    curve.push((share, ms));
                }
            }
            rest /= 10.0;
        }
        curve.extend(self.quantile_ms(1.0).map(|ms| (1.0, ms)));
        curve
    }
}

/// What one call has seen so far; reused for the next call.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// When the first chunk arrived.
    pub(crate) first: Option<Instant>,
    /// How long each chunk took to arrive, in microseconds.
    pub(crate) chunks_us: Vec<u64>,
    /// The gaps between chunks, in microseconds.
    pub(crate) gaps_us: Vec<u64>,
}

impl Notes {
    /// Resets it.
    pub(crate) fn clear(&mut self) {
        self.first = None;
        self.chunks_us.clear();
        self.gaps_us.clear();
    }
}

/// Everything seen within the window.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// From when a request was due to its end.
    pub(crate) latencies: Times,
    /// The same, to its first chunk.
    pub(crate) firsts: Times,
    /// How long chunks took to arrive.
    pub(crate) chunks: Times,
    /// The gaps between chunks.
    pub(crate) gaps: Times,
    /// How late the generator was.
    pub(crate) lateness: Times,
    /// How many requests were answered.
    pub(crate) done: u64,
    /// Why the others failed.
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Tally {
    /// An empty tally.
    pub(crate) fn new() -> Self {
        Self {
            latencies: Times::new(),
            firsts: Times::new(),
            chunks: Times::new(),
            gaps: Times::new(),
            lateness: Times::new(),
            done: 0,
            failures: BTreeMap::new(),
        }
    }

    /// Records a request that was due at `due` and answered at `now`.
    pub(crate) fn done(&mut self, due: Instant, now: Instant, notes: &Notes) {
        self.done += 1;
        self.latencies.record(now - due);
        if let Some(first) = notes.first {
            self.firsts.record(first - due);
        }
        notes.chunks_us.iter().for_each(|us| self.chunks.record_us(*us));
        notes.gaps_us.iter().for_each(|us| self.gaps.record_us(*us));
    }

    /// Records a failed request.
    pub(crate) fn failed(&mut self, why: &str) {
        match self.failures.get_mut(why) {
            Some(times) => *times += 1,
            None => drop(self.failures.insert(why.to_owned(), 1)),
        }
    }

    /// How many requests failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Adds the tally of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.latencies.merge(&other.latencies);
        self.firsts.merge(&other.firsts);
        self.chunks.merge(&other.chunks);
        self.gaps.merge(&other.gaps);
        self.lateness.merge(&other.lateness);
        self.done += other.done;
        for (why, times) in &other.failures {
            *self.failures.entry(why.clone()).or_default() += times;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(us: impl IntoIterator<Item = u64>) -> Times {
        let mut times = Times::new();
        us.into_iter().for_each(|us| times.record_us(us));
        times
    }

    #[test]
    fn merged_times_are_those_of_both() {
        let mut all = times(1..=500);
        all.merge(&times(501..=1_000));
        assert_eq!(all.len(), 1_000);
        assert_eq!(all.quantile_ms(0.5), Some(0.5));
        assert_eq!(all.quantile_ms(1.0), Some(1.0));
        assert_eq!(Times::new().quantile_ms(0.5), None);
    }

    #[test]
    fn what_takes_for_ever_counts_as_the_longest() {
        let long = times([u64::MAX]);
        assert!(long.quantile_ms(1.0).unwrap() >= 600_000.0);
    }

    #[test]
    fn a_curve_goes_as_far_as_there_are_requests() {
        let curve = times(1..=1_000).curve();
        assert_eq!(curve.first(), Some(&(0.0, 0.001)));
        assert_eq!(curve.last(), Some(&(1.0, 1.0)));
        assert!(curve.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "{curve:?}");
        assert_eq!(Times::new().curve(), []);
    }

    #[test]
    fn a_late_request_counts_from_when_it_was_to_be_sent() {
        let mut tally = Tally::new();
        let due = Instant::now();
        let notes = Notes { first: Some(due + Duration::from_millis(20)), ..Notes::default() };
        tally.done(due, due + Duration::from_millis(30), &notes);
        assert_eq!(tally.latencies.quantile_ms(1.0).map(f64::round), Some(30.0));
        assert_eq!(tally.firsts.quantile_ms(1.0).map(f64::round), Some(20.0));
    }
}
