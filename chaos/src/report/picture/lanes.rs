//! Draws the lanes of the picture, from top to bottom.

use std::{collections::BTreeMap, fmt::Write};

use schemas::Status;

use super::{GUTTER, MARGIN, Sheet, WIDTH, axis, round};
use crate::history::Phase;
use crate::report::{Band, Point, Timeline, words};

const PHASES_HEIGHT: f64 = 24.0;
const LOAD_HEIGHT: f64 = 60.0;
const LATENCIES_HEIGHT: f64 = 150.0;
/// The height of a fault's or a process's row.
const ROW_HEIGHT: f64 = 20.0;
/// The space above the latencies for their title.
const TITLE_HEIGHT: f64 = 8.0;
/// The space between two lanes.
const SPACE: f64 = 14.0;
/// How many points are drawn; of more, the slowest and a sample of the rest, to keep the file small and the shape true.
const POINTS_MAX: usize = 1_500;
/// A narrower phase has no room for its name.
const PHASE_NAME_WIDTH: f64 = 44.0;

pub(super) fn phases(sheet: &mut Sheet, timeline: &Timeline) {
    for (place, (phase, from_ms)) in timeline.phases.iter().enumerate() {
        if *phase == Phase::Over {
            continue;
        }
        let until_ms = timeline.phases.get(place + 1).map_or(timeline.over_ms, |(_, next_ms)| *next_ms);
        let name = name_of(*phase);
        sheet.bar(&format!("phase {name}"), (*from_ms, until_ms), (0.0, PHASES_HEIGHT - 4.0), name);
        let (from, until) = (sheet.x(*from_ms), sheet.x(until_ms));
        if until - from >= PHASE_NAME_WIDTH {
            sheet.text("phase-name", (round(f64::midpoint(from, until)), 14.0), name);
        }
    }
    sheet.y = PHASES_HEIGHT + 6.0;
}

const fn name_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Quiet => "quiet",
        Phase::Fault => "fault",
        Phase::Healed => "healed",
        Phase::Settle => "settle",
        Phase::Over => "over",
    }
}

/// Requests sent, as a step curve.
pub(super) fn load(sheet: &mut Sheet, timeline: &Timeline) {
    let most = timeline.sent.iter().copied().max().unwrap_or(0).max(1);
    let base = sheet.y + LOAD_HEIGHT;
    let mut path = format!("M{} {base}", sheet.x(0));
    for (step, sent) in (0..).zip(&timeline.sent) {
        let y = round(base - f64::from(*sent) / f64::from(most) * LOAD_HEIGHT);
        let (from, until) = (sheet.x(step * timeline.step_ms), sheet.x((step + 1) * timeline.step_ms));
        let _ = write!(path, "L{from} {y}L{until} {y}");
    }
    let _ = writeln!(sheet.svg, "<path class=\"load\" d=\"{path}L{} {base}Z\"/>", sheet.x(timeline.over_ms));
    let a_second = f64::from(most) * 1_000.0 / timeline.step_ms as f64;
    sheet.name(sheet.y + 12.0, "requests sent");
    sheet.text("unit", (GUTTER - 10.0, sheet.y + 27.0), &format!("up to {} a second", round(a_second)));
    sheet.y = base + SPACE;
}

/// Each request that ended, on a logarithmic scale.
pub(super) fn latencies(sheet: &mut Sheet, timeline: &Timeline) {
    sheet.text("lane", (GUTTER + 6.0, sheet.y + 2.0), "time to the end of each request");
    let top = sheet.y + TITLE_HEIGHT;
    let (from, to) = axis::decades(timeline.points.iter().map(|point| point.took_ms));
    let y = |ms: u64| {
        let share = ((ms.max(1) as f64).log10() - f64::from(from)) / f64::from(to - from);
        round(top + LATENCIES_HEIGHT * (1.0 - share.clamp(0.0, 1.0)))
    };
    for decade in from..=to {
        let ms = 10_u64.pow(decade);
        let (line, right) = (y(ms), WIDTH - MARGIN);
        let _ = writeln!(
            sheet.svg,
            "<line class=\"grid\" x1=\"{GUTTER}\" y1=\"{line}\" x2=\"{right}\" y2=\"{line}\"/>"
        );
        let label = if ms < 1_000 { format!("{ms} ms") } else { format!("{} s", ms / 1_000) };
        sheet.text("unit", (GUTTER - 10.0, line + 4.0), &label);
    }
    sheet.svg += "<g>";
    for point in shown(&timeline.points) {
        let (x, y, class) = (sheet.x(point.at_ms), y(point.took_ms), class_of(point.status));
        let _ = write!(sheet.svg, "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"2.4\"/>");
    }
    sheet.svg += "</g>\n";
    sheet.y = top + LATENCIES_HEIGHT + SPACE;
}

const fn class_of(status: Status) -> &'static str {
    match status {
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::Expired => "expired",
    }
}

/// All points, or the slower half of those drawn and an even sample of the rest. Good ones come first, so that the few
/// others lie on top.
fn shown(points: &[Point]) -> Vec<Point> {
    let mut points = points.to_vec();
    if points.len() > POINTS_MAX {
        points.sort_by_key(|point| (std::cmp::Reverse(point.took_ms), point.at_ms));
        let rest = points.split_off(POINTS_MAX / 2);
        let nth = rest.len().div_ceil(POINTS_MAX - points.len());
        points.extend(rest.into_iter().step_by(nth));
    }
    points.sort_by_key(|point| (point.status != Status::Succeeded, point.at_ms));
    points
}

/// One row for each fault and its target.
pub(super) fn faults(sheet: &mut Sheet, timeline: &Timeline) {
    let mut rows: BTreeMap<(&str, &str), Vec<&Band>> = BTreeMap::new();
    for band in &timeline.faults {
        rows.entry((&band.class, &band.target)).or_default().push(band);
    }
    for ((class, target), bands) in &rows {
        sheet.name(sheet.y + 14.0, &format!("{class} · {target}"));
        for band in bands {
            let lasted = words::duration(band.until_ms - band.from_ms);
            let title = format!("{class} on {target}, {lasted}");
            sheet.bar("fault", (band.from_ms, band.until_ms), (sheet.y + 3.0, ROW_HEIGHT - 6.0), &title);
        }
        sheet.y += ROW_HEIGHT;
    }
    if !rows.is_empty() {
        sheet.y += SPACE / 2.0;
    }
}

/// The faults again, as a tint behind load and latencies.
pub(super) fn shades(sheet: &Sheet, timeline: &Timeline, from: f64, to: f64) -> String {
    let mut svg = String::new();
    for band in &timeline.faults {
        let x = sheet.x(band.from_ms);
        let (width, height) = (round((sheet.x(band.until_ms) - x).max(2.0)), to - from);
        let _ = writeln!(
            svg,
            "<rect class=\"shade\" x=\"{x}\" y=\"{from}\" width=\"{width}\" height=\"{height}\"/>"
        );
    }
    svg
}

/// One row for each role: a line while it lives, a cross where it died, a stroke where it ended as asked.
pub(super) fn processes(sheet: &mut Sheet, timeline: &Timeline) {
    for (role, lives) in &timeline.processes {
        let middle = sheet.y + ROW_HEIGHT / 2.0;
        sheet.name(middle + 4.0, role);
        for life in lives {
            let until_ms = life.ended.as_ref().map_or(timeline.over_ms, |(at_ms, _)| *at_ms);
            let how = life.ended.as_ref().map_or("lives", |(_, how)| how.as_str());
            sheet.bar("life", (life.from_ms, until_ms), (middle - 2.0, 4.0), &format!("{role}: {how}"));
            let Some((at_ms, how)) = &life.ended else { continue };
            let x = sheet.x(*at_ms);
            let (mark, class) = match how.starts_with("exit") && how.ends_with(" 0") {
                true => (format!("M{x} {}v10", middle - 5.0), "went"),
                false => (format!("M{} {}l8 8m0 -8l-8 8", round(x - 4.0), middle - 4.0), "died"),
            };
            let _ = writeln!(
                sheet.svg,
                "<path class=\"{class}\" d=\"{mark}\"><title>{}</title></path>",
                words::escape(how)
            );
        }
        sheet.y += ROW_HEIGHT;
    }
}
