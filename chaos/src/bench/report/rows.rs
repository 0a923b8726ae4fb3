//! Formats one scenario as rows: one for each side of each load, and one that compares the engine with each other side.

use crate::bench::{
    Point, Tested,
    figure::{Better, Figures, Metric, Side},
};

/// The columns, in order; a column that no side has is left out.
const COLUMNS: [Metric; 18] = [
    Metric::Rate,
    Metric::P50Ms,
    Metric::P99Ms,
    Metric::FirstP50Ms,
    Metric::FirstP99Ms,
    Metric::ChunkRate,
    Metric::ChunkP50Ms,
    Metric::ChunkP99Ms,
    Metric::GapP99Ms,
    Metric::CpuMs,
    Metric::CpuChunkUs,
    Metric::BrokerCpuMs,
    Metric::EngineMib,
    Metric::BrokerMib,
    Metric::SocketKib,
    Metric::ReadyMs,
    Metric::FirstAnswerMs,
    Metric::GrowthKib,
];

/// A row.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    /// The load; empty if it is the same as in the row above.
    pub(super) load: String,
    /// The side, or `over direct`, `of floor`.
    pub(super) whose: String,
    /// The cells, in the order of the columns.
    pub(super) cells: Vec<String>,
    /// The spread of the rounds; empty if there is only one.
    pub(super) spread: String,
}

/// The columns that a scenario has.
pub(super) fn columns(tested: &Tested) -> Vec<Metric> {
    let has = |metric: &Metric| {
        let figures = tested.points.iter().flat_map(|point| point.sides.values());
        figures.into_iter().any(|figures| figures.metrics.contains_key(metric))
    };
    COLUMNS.into_iter().filter(has).collect()
}

/// The rows of a scenario.
pub(super) fn rows(tested: &Tested, columns: &[Metric]) -> Vec<Row> {
    let mut rows = Vec::new();
    for point in &tested.points {
        let mut of_point = rows_of(point, columns);
        if let Some(first) = of_point.first_mut() {
            first.load.clone_from(&point.load);
        }
        rows.extend(of_point);
    }
    rows
}

fn rows_of(point: &Point, columns: &[Metric]) -> Vec<Row> {
    let mut rows: Vec<_> = point.sides.iter().map(|(side, figures)| plain(*side, figures, columns)).collect();
    let Some(engine) = point.sides.get(&Side::Engine) else { return rows };
    if let Some(direct) = point.sides.get(&Side::Direct) {
        rows.push(standing("over direct", columns, |metric| over(metric, engine, direct)));
    }
    if let Some(floor) = point.sides.get(&Side::Floor) {
        rows.push(standing("of floor", columns, |metric| of(metric, engine, floor)));
    }
    rows
}

fn plain(side: Side, figures: &Figures, columns: &[Metric]) -> Row {
    let cells = columns.iter().map(|metric| figures.median(*metric).map_or_else(dash, number)).collect();
    let main = [Metric::Rate, Metric::ReadyMs, Metric::EngineMib];
    let main = main.iter().find_map(|metric| figures.metrics.get(metric));
    let spread = main.filter(|figure| figure.rounds.len() > 1);
    let spread = spread.map(|figure| format!("{:.0} %", 100.0 * figure.spread())).unwrap_or_default();
    Row { load: String::new(), whose: side.to_string(), cells, spread }
}

fn standing(whose: &str, columns: &[Metric], cell: impl Fn(Metric) -> Option<String>) -> Row {
    let cells = columns.iter().map(|metric| cell(*metric).unwrap_or_default()).collect();
    Row { load: String::new(), whose: whose.to_owned(), cells, spread: String::new() }
}

/// What the engine adds to a time, or by how much it divides a rate.
fn over(metric: Metric, engine: &Figures, direct: &Figures) -> Option<String> {
    let (engine, direct) = (engine.median(metric)?, direct.median(metric)?);
    if metric.is_time() {
        return Some(format!(
            "{}{}",
            if engine < direct { "−" } else { "+" },
            number((engine - direct).abs())
        ));
    }
    let is_rate = metric.better() == Better::Higher && engine > 0.0;
    is_rate.then(|| format!("÷{}", number(direct / engine)))
}

/// The share of the floor's rate that the engine reaches, or how many times its time or CPU.
fn of(metric: Metric, engine: &Figures, floor: &Figures) -> Option<String> {
    let (engine, floor) = (engine.median(metric)?, floor.median(metric)?);
    if floor <= 0.0 {
        return None;
    }
    match metric.better() {
        Better::Higher => Some(format!("{:.0} %", 100.0 * engine / floor)),
        _ if metric.is_time() || matches!(metric, Metric::CpuMs | Metric::BrokerCpuMs) => {
            Some(format!("×{}", number(engine / floor)))
        }
        _ => None,
    }
}

pub(super) fn dash() -> String {
    "–".to_owned()
}

/// Three digits, the precision of the measurement.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => {
            let sign = if value < 0.0 { "−" } else { "" };
            format!("{sign}{}", crate::report::words::count(size.round() as u64))
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let texts = [0.0, 0.0834, 1.234, 61.22, 137.7, 14_353.2, -2_000.0].map(number);
        assert_eq!(texts, ["0", "0.083", "1.23", "61.2", "138", "14,353", "−2,000"]);
    }
}
