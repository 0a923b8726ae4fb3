//! Formats the figures as one self-contained HTML file: no script, no font, no network request.

use std::fmt::Write;

use super::{
    curve,
    rows::{columns, rows},
};
use crate::{
    bench::{Outcome, Point, Tested, figure::Side},
    report::{html::STYLE, words},
};

/// The style of the curves, on top of that of all our pages.
const CURVES: &str = include_str!("html/curves.css");

/// The figures, as an HTML page.
#[must_use]
pub fn html(outcome: &Outcome) -> String {
    let mut page = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    let _ = writeln!(page, "<title>Dynode bench</title>\n<style>\n{STYLE}{CURVES}</style>\n</head>\n<body>");
    page += &header(outcome);
    page += "<main>\n";
    for tested in &outcome.scenarios {
        page += &section(tested);
    }
    page += &skipped(outcome);
    page += &environment(outcome);
    page + "</main>\n</body>\n</html>\n"
}

fn header(outcome: &Outcome) -> String {
    let is_sound = outcome.environment.warnings.is_empty();
    let (class, pill) = if is_sound { ("good", "undisturbed") } else { ("weak", "read the warnings") };
    let (began, took) = (words::escape(&outcome.began), words::duration(outcome.took_ms));
    format!(
        "<header class=\"{class}\">\n<p class=\"eyebrow\">Dynode bench</p>\n<h1>What requests cost, and how long they take</h1>\n\
         <p><span class=\"pill {class}\">{pill}</span> {began} · {took}</p>\n</header>\n"
    )
}

fn section(tested: &Tested) -> String {
    let (name, about) = (words::escape(&tested.name), words::escape(&tested.about));
    let mut html = format!("<section id=\"{name}\">\n<h2>{name}</h2>\n<p>{about}</p>\n");
    for point in &tested.points {
        for note in &point.notes {
            let (load, note) = (words::escape(&point.load), words::escape(note));
            let _ = writeln!(html, "<p class=\"note\">{load}: {note}</p>");
        }
    }
    html += &table(tested);
    for point in &tested.points {
        html += &figure(&tested.name, point);
    }
    html + "</section>\n"
}

fn table(tested: &Tested) -> String {
    let columns = columns(tested);
    let mut html = String::from("<div class=\"scroll\"><table>\n<thead><tr><th>load</th><th>of</th>");
    for metric in &columns {
        let _ = write!(html, "<th class=\"number\">{}</th>", metric.head());
    }
    html += "<th class=\"number\">spread</th></tr></thead>\n<tbody>\n";
    for row in rows(tested, &columns) {
        let class = if row.whose == Side::Engine.to_string() { " class=\"mine\"" } else { "" };
        let _ = write!(html, "<tr{class}><th>{}</th><th>{}</th>", words::escape(&row.load), row.whose);
        for cell in row.cells.iter().chain([&row.spread]) {
            let _ = write!(html, "<td class=\"number\">{cell}</td>");
        }
        html += "</tr>\n";
    }
    html + "</tbody></table></div>\n"
}

fn figure(name: &str, point: &Point) -> String {
    let svg = curve::curves(name, point);
    if svg.is_empty() {
        return svg;
    }
    let mut legend = String::new();
    for side in point.sides.keys() {
        let _ = write!(legend, "<i class=\"{}\"></i>{side} ", curve::class(*side));
    }
    let load = words::escape(&point.load);
    format!(
        "<figure class=\"scroll\">\n{svg}</figure>\n<p class=\"legend\">{load}: {}</p>\n",
        legend.trim_end()
    )
}

fn skipped(outcome: &Outcome) -> String {
    if outcome.skipped.is_empty() {
        return String::new();
    }
    let mut html = String::from("<section>\n<h2>Skipped</h2>\n<ul>\n");
    for skipped in &outcome.skipped {
        let (name, why) = (words::escape(&skipped.name), words::escape(&skipped.why));
        let _ = writeln!(html, "<li><b>{name}</b> {why}</li>");
    }
    html + "</ul>\n</section>\n"
}

fn environment(outcome: &Outcome) -> String {
    let mut html = String::from("<section>\n<h2>Where it ran</h2>\n<ul>\n");
    for warning in &outcome.environment.warnings {
        let _ =
            writeln!(html, "<li><span class=\"pill weak\">warning</span> {}</li>", words::escape(warning));
    }
    for (setting, means) in &outcome.environment.weakened {
        let (setting, means) = (words::escape(setting), words::escape(means));
        let _ = writeln!(
            html,
            "<li><span class=\"pill weak\">weakened</span> <code>{setting}</code> {means}</li>"
        );
    }
    for (name, value) in &outcome.environment.facts {
        let _ = writeln!(html, "<li>{} {}</li>", words::escape(name), words::escape(value));
    }
    let _ =
        writeln!(html, "</ul>\n<p>Again: <code>{}</code></p>\n</section>", words::escape(&outcome.command));
    html
}
