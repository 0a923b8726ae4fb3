//! Draws latency curves as one SVG: the share of requests to the right, finer towards the slowest; the time upwards, by
//! powers of ten. The median is near the left edge.

use std::fmt::Write;

use crate::{
    bench::{Point, figure::Side},
    report::words,
};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 240.0;
/// Room for the labels at the left and below, and for the last label at the right.
const GUTTER: f64 = 70.0;
const FOOT: f64 = 24.0;
const MARGIN: f64 = 30.0;

/// The curves of one load; empty if there are none.
pub(super) fn curves(name: &str, point: &Point) -> String {
    let drawn: Vec<_> = point
        .sides
        .iter()
        .filter(|(_, figures)| figures.curve.len() > 1)
        .map(|(side, figures)| (*side, figures.curve.as_slice()))
        .collect();
    let Some(sheet) = Sheet::of(&drawn) else { return String::new() };
    let label = words::escape(&format!("Latencies of {name}, {}", point.load));
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">\n");
    svg += &sheet.grid();
    for (side, curve) in drawn {
        let points: Vec<_> =
            curve.iter().map(|(share, ms)| format!("{},{}", sheet.x(*share), sheet.y(*ms))).collect();
        let class = class(side);
        let _ = writeln!(
            svg,
            "<polyline class=\"{class}\" points=\"{}\"><title>{side}</title></polyline>",
            points.join(" ")
        );
    }
    svg + "</svg>\n"
}

/// The class of a side's line.
pub(super) const fn class(side: Side) -> &'static str {
    match side {
        Side::Direct => "curve direct",
        Side::Engine => "curve engine",
        Side::Floor => "curve floor",
    }
}

/// The scales.
struct Sheet {
    /// How many nines the right edge stands for.
    nines: f64,
    /// The powers of ten at the bottom and at the top, as exponents of milliseconds.
    from: i32,
    to: i32,
}

impl Sheet {
    fn of(drawn: &[(Side, &[(f64, f64)])]) -> Option<Self> {
        let points = || drawn.iter().flat_map(|(_, curve)| curve.iter());
        let most = points().map(|(_, ms)| *ms).fold(f64::NEG_INFINITY, f64::max);
        let least = points().map(|(_, ms)| *ms).fold(f64::INFINITY, f64::min).max(1e-3);
        if !most.is_finite() {
            return None;
        }
        let nines = points().filter(|(share, _)| *share < 1.0).map(|(share, _)| -(1.0 - share).log10());
        let nines = nines.fold(1.0, f64::max).ceil();
        let from = least.log10().floor() as i32;
        Some(Self { nines, from, to: (most.log10().ceil() as i32).max(from + 1) })
    }

    fn x(&self, share: f64) -> f64 {
        let nines = if share >= 1.0 { self.nines } else { -(1.0 - share).log10() };
        round(GUTTER + (nines / self.nines).clamp(0.0, 1.0) * (WIDTH - GUTTER - MARGIN))
    }

    fn y(&self, ms: f64) -> f64 {
        let share = (ms.max(1e-3).log10() - f64::from(self.from)) / f64::from(self.to - self.from);
        round((HEIGHT - FOOT) * (1.0 - share.clamp(0.0, 1.0)) + 6.0 * share.clamp(0.0, 1.0))
    }

    fn grid(&self) -> String {
        let mut svg = String::new();
        for decade in self.from..=self.to {
            let (ms, right) = (10_f64.powi(decade), WIDTH - MARGIN);
            let y = self.y(ms);
            let _ =
                writeln!(svg, "<line class=\"grid\" x1=\"{GUTTER}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\"/>");
            let (x, y) = (GUTTER - 8.0, y + 4.0);
            let _ = writeln!(svg, "<text class=\"unit\" x=\"{x}\" y=\"{y}\">{}</text>", time(ms));
        }
        let shares = [(0.0_f64, "fastest"), (0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];
        let shares = shares.into_iter().chain([(0.9999, "p99.99"), (0.999_99, "p99.999")]);
        for (share, name) in shares.filter(|(share, _)| -(1.0 - share).log10() <= self.nines + 1e-9) {
            let (x, foot) = (self.x(share), HEIGHT - FOOT);
            let _ = writeln!(svg, "<line class=\"grid\" x1=\"{x}\" y1=\"6\" x2=\"{x}\" y2=\"{foot}\"/>");
            let _ = writeln!(svg, "<text class=\"tick\" x=\"{x}\" y=\"{}\">{name}</text>", HEIGHT - 8.0);
        }
        svg
    }
}

fn time(ms: f64) -> String {
    match ms {
        ms if ms < 0.999 => format!("{:.0} µs", ms * 1_000.0),
        ms if ms < 999.0 => format!("{ms:.0} ms"),
        ms => format!("{:.0} s", ms / 1_000.0),
    }
}

/// Rounds to a tenth of a unit, finer than any screen shows.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
