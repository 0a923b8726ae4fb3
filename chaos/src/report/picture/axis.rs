//! The scales of the picture: time in round steps, latency by powers of ten.

use std::fmt::Write;

use super::Sheet;

/// Steps of the time axis, in milliseconds.
const STEPS_MS: [u64; 13] =
    [100, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 900_000, 3_600_000];
/// With more labels than this they are too close.
const LABELS_MAX: u64 = 10;
/// The height of the row of labels.
const LABELS_HEIGHT: f64 = 22.0;

/// The labels of the time axis.
pub(super) fn time(sheet: &mut Sheet) {
    let y = sheet.y + 14.0;
    for ms in ticks(sheet.over_ms) {
        sheet.text("tick", (sheet.x(ms), y), &label(ms));
    }
    sheet.y += LABELS_HEIGHT;
}

/// A thin line through all lanes at each label.
pub(super) fn grid(sheet: &Sheet, to: f64) -> String {
    let mut svg = String::new();
    for x in ticks(sheet.over_ms).map(|ms| sheet.x(ms)) {
        let _ = writeln!(svg, "<line class=\"grid\" x1=\"{x}\" y1=\"24\" x2=\"{x}\" y2=\"{to}\"/>");
    }
    svg
}

fn ticks(over_ms: u64) -> impl Iterator<Item = u64> {
    let fits = |step: &u64| over_ms / step < LABELS_MAX;
    let step = STEPS_MS.into_iter().find(fits).unwrap_or_else(|| over_ms.div_ceil(LABELS_MAX));
    (0..=over_ms / step).map(move |tick| tick * step)
}

fn label(ms: u64) -> String {
    match ms {
        0 => "0".into(),
        ms if ms % 1_000 > 0 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        ms if ms >= 120_000 && ms % 60_000 == 0 => format!("{} min", ms / 60_000),
        ms => format!("{} s", ms / 1_000),
    }
}

/// The powers of ten that enclose all of `latencies`, as exponents of milliseconds: at least one decade.
pub(super) fn decades(latencies: impl Iterator<Item = u64> + Clone) -> (u32, u32) {
    let (low, high) = (latencies.clone().min().unwrap_or(1).max(1), latencies.max().unwrap_or(10).max(1));
    let from = low.ilog10();
    let to = if 10_u64.pow(high.ilog10()) == high { high.ilog10() } else { high.ilog10() + 1 };
    (from, to.max(from + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_axis_has_few_and_round_labels() {
        let labels = |over_ms| ticks(over_ms).map(label).collect::<Vec<_>>();
        assert_eq!(labels(9_000), ["0", "1 s", "2 s", "3 s", "4 s", "5 s", "6 s", "7 s", "8 s", "9 s"]);
        assert_eq!(labels(240_000).last().map(String::as_str), Some("4 min"));
        assert!(labels(u64::from(u32::MAX)).len() <= 11);
        assert_eq!(labels(1), ["0"]);
    }

    #[test]
    fn latencies_lie_between_powers_of_ten() {
        assert_eq!(decades([12, 900].into_iter()), (1, 3));
        assert_eq!(decades([0, 0].into_iter()), (0, 1));
        assert_eq!(decades([10, 1_000].into_iter()), (1, 3));
        assert_eq!(decades([].into_iter()), (0, 1));
    }
}
