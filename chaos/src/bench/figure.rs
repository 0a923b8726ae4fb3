//! The figures of a run: metrics, sides and units, and how several rounds become one figure. Pure.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// The side that a figure describes. The same generator measures all sides in the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The provider alone, without an engine: the cost of generator and provider by themselves.
    Direct,
    /// The engine, with everything behind it.
    Engine,
    /// The same bare hops over the same broker: no engine, nothing decided.
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

/// A metric. Its name ends in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Requests answered per second.
    Rate,
    /// Half of the requests took no longer, from when they were due, in milliseconds.
    P50Ms,
    /// Nine tenths took no longer.
    P90Ms,
    /// All but a hundredth took no longer.
    P99Ms,
    /// All but a thousandth took no longer.
    P999Ms,
    /// The median time to the first chunk of a stream.
    FirstP50Ms,
    /// All but a hundredth of the first chunks took no longer.
    FirstP99Ms,
    /// Chunks received per second.
    ChunkRate,
    /// The median time from when the provider sent a chunk to when the client saw it.
    ChunkP50Ms,
    /// All but a hundredth of the chunks took no longer.
    ChunkP99Ms,
    /// All but a hundredth of the gaps between chunks at the client were no longer.
    GapP99Ms,
    /// CPU of engine and broker together per request, in milliseconds.
    CpuMs,
    /// CPU of engine and broker together per chunk, in microseconds.
    CpuChunkUs,
    /// The broker's share of that, per request.
    BrokerCpuMs,
    /// CPU of the load generator per request: it shares the machine with the system under test.
    LoadCpuMs,
    /// Cores that other processes kept busy, which disturbs a measurement.
    ElsewhereCores,
    /// Memory of the engine's processes, in MiB.
    EngineMib,
    /// Memory of the broker, in MiB.
    BrokerMib,
    /// Engine memory per idle WebSocket, in KiB.
    SocketKib,
    /// From the start of the process until it accepts requests, in milliseconds.
    ReadyMs,
    /// From the start of the process to its first answer, in milliseconds.
    FirstAnswerMs,
    /// How fast the engine's memory grows, in KiB per minute.
    GrowthKib,
    /// Requests that failed, or were not answered in time.
    Failed,
    /// How late the generator itself started the slowest hundredth of the requests, in milliseconds.
    LateP99Ms,
}

/// Which direction is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Higher.
    Higher,
    /// Lower.
    Lower,
    /// Neither: it describes the measurement.
    Neither,
}

impl Metric {
    /// Its column head.
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

    /// Which direction is better.
    #[must_use]
    pub const fn better(self) -> Better {
        match self {
            Self::Rate | Self::ChunkRate => Better::Higher,
            Self::ElsewhereCores | Self::LateP99Ms | Self::LoadCpuMs => Better::Neither,
            _ => Better::Lower,
        }
    }

    /// Whether the report shows its difference to the direct side: a time that both have.
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

/// One figure: its rounds, their median, and their spread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The median; for an even number of rounds, the mean of the middle two.
    pub median: f64,
    /// The lowest round.
    pub low: f64,
    /// The highest round.
    pub high: f64,
    /// All rounds, in order.
    pub rounds: Vec<f64>,
}

impl Figure {
    /// The figure of these rounds; `None` if there are none or one is not finite.
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

    /// The spread of the rounds as a share of the median; 0 if the median is 0.
    #[must_use]
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.high - self.low) / self.median.abs() }
    }
}

/// The metrics of one side in one round.
pub(crate) type Round = BTreeMap<Metric, f64>;

/// All figures of one side.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The figures.
    pub metrics: BTreeMap<Metric, Figure>,
    /// The latencies of all rounds: the share of requests that took no longer, and how long, in milliseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<(f64, f64)>,
    /// The reasons for failures, with their counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, u64>,
}

impl Figures {
    /// The rounds of one side as figures. A metric that a round lacks is left out of that round only.
    pub(crate) fn of(rounds: &[Round]) -> Self {
        let mut by_metric = BTreeMap::<Metric, Vec<f64>>::new();
        for (metric, value) in rounds.iter().flatten() {
            by_metric.entry(*metric).or_default().push(*value);
        }
        let figures =
            by_metric.into_iter().filter_map(|(metric, rounds)| Some((metric, Figure::of(rounds)?)));
        Self { metrics: figures.collect(), ..Self::default() }
    }

    /// The median of a metric, if it was measured.
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
