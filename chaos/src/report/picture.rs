//! Draws a scenario as one SVG: time from left to right, and below each other the phases, the load, the latencies, the
//! faults and the lives of the processes. The page sets the colours, by class.

mod axis;
mod lanes;

use std::fmt::Write;

use super::{Timeline, words};

/// The width of the picture in its own units; the page scales it.
const WIDTH: f64 = 960.0;
/// Room for the names of the lanes.
const GUTTER: f64 = 150.0;
/// Room for the last label of the time axis.
const MARGIN: f64 = 20.0;
/// The longest name that fits the gutter, in characters.
const NAME_LETTERS_MAX: usize = 24;

/// The SVG of a scenario; screen readers read `name`.
pub(super) fn picture(name: &str, timeline: &Timeline) -> String {
    let mut sheet = Sheet { over_ms: timeline.over_ms, y: 0.0, svg: String::new() };
    lanes::phases(&mut sheet, timeline);
    let shaded_from = sheet.y;
    lanes::load(&mut sheet, timeline);
    lanes::latencies(&mut sheet, timeline);
    let shaded_to = sheet.y;
    lanes::faults(&mut sheet, timeline);
    lanes::processes(&mut sheet, timeline);
    let grid_to = sheet.y;
    axis::time(&mut sheet);
    let behind = axis::grid(&sheet, grid_to) + &lanes::shades(&sheet, timeline, shaded_from, shaded_to);
    let (height, name) = (sheet.y, words::escape(name));
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Timeline of {name}\">\n{behind}{}</svg>\n",
        sheet.svg
    )
}

/// The drawing so far.
struct Sheet {
    over_ms: u64,
    /// Where the next lane starts.
    y: f64,
    svg: String,
}

impl Sheet {
    fn x(&self, ms: u64) -> f64 {
        let share = ms.min(self.over_ms) as f64 / self.over_ms as f64;
        round(GUTTER + share * (WIDTH - GUTTER - MARGIN))
    }

    /// A bar over a period; always wide enough to be seen.
    fn bar(&mut self, class: &str, (from_ms, until_ms): (u64, u64), (y, height): (f64, f64), title: &str) {
        let x = self.x(from_ms);
        let width = round((self.x(until_ms) - x).max(2.0));
        let title = words::escape(title);
        let _ = writeln!(
            self.svg,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"2\"><title>{title}</title></rect>"
        );
    }

    fn text(&mut self, class: &str, (x, y): (f64, f64), text: &str) {
        let _ =
            writeln!(self.svg, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", words::escape(text));
    }

    /// The name of a lane, in the gutter.
    fn name(&mut self, y: f64, name: &str) {
        let letters = name.chars().count();
        let shown = match letters > NAME_LETTERS_MAX {
            true => name.chars().take(NAME_LETTERS_MAX - 1).chain(['…']).collect(),
            false => name.to_owned(),
        };
        self.text("name", (GUTTER - 10.0, y), &shown);
    }
}

/// Rounds to a tenth of a unit: finer than any screen shows, and it keeps the file small.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
