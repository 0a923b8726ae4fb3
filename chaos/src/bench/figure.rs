//! The figures of a run: what was measured, of whom, in which unit, and how several rounds of it are one figure. Pure.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// Whom a figure is about. All of them are measured in the same run, by the same generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The provider alone, without an engine: what generator and provider cost by themselves.
    Direct,
    /// The engine, with everything behind it.
    Engine,
    /// The same hops over the same broker, done bare: no engine, nothing decided.
    Floor,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Engine => "engine",
            Self::Floor => "floor",
        })
    }
}

/// What is measured. The unit is the end of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Requests that were answered in a second.
    Rate,
    /// Half of the requests took no longer, from when they were to be sent, in milliseconds.
    P50Ms,
    /// Nine tenths took no longer.
    P90Ms,
    /// All but a hundredth took no longer.
    P99Ms,
    /// All but a thousandth took no longer.
    P999Ms,
    /// The time to the first chunk of a stream: the half.
    FirstP50Ms,
    /// All but a hundredth of them.
    FirstP99Ms,
    /// Chunks that came in a second.
    ChunkRate,
    /// From when the provider sent a chunk to when the client saw it: the half.
    ChunkP50Ms,
    /// All but a hundredth of them.
    ChunkP99Ms,
    /// Between two chunks at the client: all but a hundredth.
    GapP99Ms,
    /// CPU of engine and broker together for a request, in milliseconds.
    CpuMs,
    /// CPU of engine and broker together for a chunk, in microseconds.
    CpuChunkUs,
    /// Of that, the broker's for a request.
    BrokerCpuMs,
    /// CPU of the load generator for a request: it shares the machine with what it measures.
    LoadCpuMs,
    /// Cores that were busy with something else meanwhile: what disturbs a measurement.
    ElsewhereCores,
    /// The memory of the engine's processes, in MiB.
    EngineMib,
    /// The memory of the broker, in MiB.
    BrokerMib,
    /// What one idle WebSocket takes of the engine's memory, in KiB.
    SocketKib,
    /// From the start of the process until it takes requests, in milliseconds.
    ReadyMs,
    /// From the start of the process to its first answer, in milliseconds.
    FirstAnswerMs,
    /// How fast the memory of the engine grows, in KiB a minute.
    GrowthKib,
    /// Requests that failed, or were not answered in time.
    Failed,
    /// How late the generator itself began the slowest hundredth of the requests, in milliseconds.
    LateP99Ms,
}

/// What is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More of it.
    Higher,
    /// Less of it.
    Lower,
    /// It tells of the measurement, and is neither.
    Neither,
}

impl Metric {
    /// Its name at the head of a column.
    #[must_use]
    pub const fn head(self) -> &'static str {
        match self {
            Self::Rate => "per s",
            Self::P50Ms => "p50 ms",
            Self::P90Ms => "p90 ms",
            Self::P99Ms => "p99 ms",
            Self::P999Ms => "p99.9 ms",
            Self::FirstP50Ms => "first p50 ms",
            Self::FirstP99Ms => "first p99 ms",
            Self::ChunkRate => "chunks/s",
            Self::ChunkP50Ms => "chunk p50 ms",
            Self::ChunkP99Ms => "chunk p99 ms",
            Self::GapP99Ms => "gap p99 ms",
            Self::CpuMs => "CPU ms/req",
            Self::CpuChunkUs => "CPU µs/chunk",
            Self::BrokerCpuMs => "broker ms/req",
            Self::LoadCpuMs => "load ms/req",
            Self::ElsewhereCores => "elsewhere",
            Self::EngineMib => "engine MiB",
            Self::BrokerMib => "broker MiB",
            Self::SocketKib => "KiB/socket",
            Self::ReadyMs => "ready ms",
            Self::FirstAnswerMs => "first answer ms",
            Self::GrowthKib => "KiB/min",
            Self::Failed => "failed",
            Self::LateP99Ms => "late p99 ms",
        }
    }

    /// Which way is better.
    #[must_use]
    pub const fn better(self) -> Better {
        match self {
            Self::Rate | Self::ChunkRate => Better::Higher,
            Self::ElsewhereCores | Self::LateP99Ms | Self::LoadCpuMs => Better::Neither,
            _ => Better::Lower,
        }
    }

    /// Whether a difference to the direct way is what a reader wants: a time that both have.
    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(
            self,
            Self::P50Ms
                | Self::P90Ms
                | Self::P99Ms
                | Self::P999Ms
                | Self::FirstP50Ms
                | Self::FirstP99Ms
                | Self::ChunkP50Ms
                | Self::ChunkP99Ms
                | Self::GapP99Ms
        )
    }
}

/// One figure: its rounds, the one in the middle, and how far they lie apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The one in the middle; of an even number, the mean of the two.
    pub median: f64,
    /// The least of the rounds.
    pub low: f64,
    /// The most of them.
    pub high: f64,
    /// All of them, in order.
    pub rounds: Vec<f64>,
}

impl Figure {
    /// The figure of these rounds; `None` of none, or of what is no number.
    #[must_use]
    pub fn of(rounds: Vec<f64>) -> Option<Self> {
        if rounds.iter().any(|round| !round.is_finite()) {
            return None;
        }
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(*sorted.get(upper - 1)?, *sorted.get(upper)?),
            _ => *sorted.get(upper)?,
        };
        Some(Self { median, low, high, rounds })
    }

    /// How far the rounds lie apart, as a share of the median; 0 where that is 0.
    #[must_use]
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.high - self.low) / self.median.abs() }
    }
}

/// What was measured of one side in one round.
pub(crate) type Round = BTreeMap<Metric, f64>;

/// All figures of one side.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The figures.
    pub metrics: BTreeMap<Metric, Figure>,
    /// Latencies of all rounds together: the share of requests that took no longer, and how long, in milliseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<(f64, f64)>,
    /// Why requests failed, and how often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, u64>,
}

impl Figures {
    /// The rounds of one side as figures. A metric that a round has not is left out of that round only.
    pub(crate) fn of(rounds: &[Round]) -> Self {
        let mut by_metric = BTreeMap::<Metric, Vec<f64>>::new();
        for (metric, value) in rounds.iter().flatten() {
            by_metric.entry(*metric).or_default().push(*value);
        }
        let figures =
            by_metric.into_iter().filter_map(|(metric, rounds)| Some((metric, Figure::of(rounds)?)));
        Self { metrics: figures.collect(), ..Self::default() }
    }

    /// The median of a metric, where it was measured.
    #[must_use]
    pub fn median(&self, metric: Metric) -> Option<f64> {
        self.metrics.get(&metric).map(|figure| figure.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_round_in_the_middle() {
        let odd = Figure::of(vec![9.0, 1.0, 4.0]).unwrap();
        assert_eq!((odd.median, odd.low, odd.high), (4.0, 1.0, 9.0));
        assert_eq!(odd.rounds, [9.0, 1.0, 4.0], "as they came");
        let even = Figure::of(vec![1.0, 2.0, 4.0, 9.0]).unwrap();
        assert_eq!(even.median, 3.0);
        assert_eq!((Figure::of(vec![]), Figure::of(vec![1.0, f64::NAN])), (None, None));
    }

    #[test]
    fn the_spread_is_a_share_of_the_median() {
        assert_eq!(Figure::of(vec![90.0, 100.0, 120.0]).unwrap().spread(), 0.3);
        assert_eq!(Figure::of(vec![0.0, 0.0]).unwrap().spread(), 0.0);
    }

    #[test]
    fn rounds_are_joined_by_metric() {
        let rounds =
            [Round::from([(Metric::Rate, 10.0), (Metric::P50Ms, 1.0)]), Round::from([(Metric::Rate, 30.0)])];
        let figures = Figures::of(&rounds);
        assert_eq!(figures.median(Metric::Rate), Some(20.0));
        assert_eq!(figures.metrics[&Metric::P50Ms].rounds, [1.0]);
        assert_eq!(figures.median(Metric::P99Ms), None);
    }
}
