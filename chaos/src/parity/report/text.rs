//! Renders the report as text: tables for a terminal, the same as Markdown, all of it as JSON.

use std::fmt::Write;

use serde_json::Value;

use super::{Judged, Report, Verdict};
use crate::{
    parity::{handle::Handle, normal},
    report::{Table, duration},
};

/// The longest value of a difference that is shown, in letters; the JSON has all of it.
const SHOWN_LETTERS_MAX: usize = 160;
/// The most differences that are shown for one comparison.
const SHOWN_MAX: usize = 3;

/// The report, for a terminal.
#[must_use]
pub fn terminal(report: &Report) -> String {
    let mut text = String::new();
    let took = duration(report.took_ms);
    let _ = writeln!(text, "dynode parity · {} · {} cases · {took}\n", report.system, report.cases.len());
    text += &areas(report).aligned();
    text.push('\n');
    text += &latencies(report).aligned();
    for case in report.cases.iter().filter(|case| !case.is_equal()) {
        let _ = write!(text, "\n  {}: {}\n", case.area.name(), case.name);
        for line in findings(case) {
            let _ = writeln!(text, "    {line}");
        }
    }
    text += "\n  allowed differences:\n";
    for (rule, times) in &report.allowed {
        let _ = writeln!(text, "    ×{times:<4} {}: {}: {}", names(rule.on), rule.at.join(", "), rule.why);
    }
    for (handle, why, times) in report.left_out() {
        let _ = writeln!(text, "    ×{times:<4} {}: left out: {why}", handle.name());
    }
    let skipped = report.cases.iter().filter(|case| case.skipped.is_some()).count();
    if skipped > 0 {
        let _ = writeln!(
            text,
            "    {skipped} cases need an engine whose settings are ours (`dynode parity` without --target)"
        );
    }
    let _ = writeln!(text, "\n{}", verdict(report));
    text
}

/// The report, as Markdown.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut text = format!("# Parity: {}\n\n", verdict(report));
    let _ =
        writeln!(text, "{} · {} cases · {}\n", report.system, report.cases.len(), duration(report.took_ms));
    let _ = writeln!(text, "## Areas\n\n{}", areas(report).piped());
    let _ = writeln!(
        text,
        "## Latency\n\nA small chat that is not streamed, one after the other.\n\n{}",
        latencies(report).piped()
    );
    text += "## Differences\n";
    for case in report.cases.iter().filter(|case| !case.is_equal()) {
        let _ = writeln!(text, "\n### {}: {}\n", case.area.name(), case.name);
        for line in findings(case) {
            let _ = writeln!(text, "- {}", line.replace('\n', " "));
        }
    }
    if report.cases.iter().all(Judged::is_equal) {
        text += "\nNone but those that are allowed.\n";
    }
    let mut allowed = Table::default().words("on").words("at").words("why").numbers("times");
    for (rule, times) in &report.allowed {
        allowed.row(vec![names(rule.on), rule.at.join(", "), rule.why.to_owned(), times.to_string()]);
    }
    for (handle, why, times) in report.left_out() {
        allowed.row(vec![handle.name().into(), "left out".into(), why.to_owned(), times.to_string()]);
    }
    let _ = writeln!(text, "\n## Allowed differences\n\n{}", allowed.piped());
    let mut normal = Table::default().words("what").words("how it is compared");
    for (what, how) in normal::RULES {
        normal.row(vec![what.to_owned(), how.to_owned()]);
    }
    let _ = writeln!(text, "## What is made alike before\n\n{}", normal.piped());
    let _ = writeln!(text, "## Cases\n\n{}", cases(report).piped());
    text
}

/// The report, as JSON.
///
/// # Errors
/// Never: all of it is text and numbers.
pub fn json(report: &Report) -> serde_json::Result<String> {
    let mut value = serde_json::to_value(report)?;
    value["equal"] = report.is_equal().into();
    value["normalised"] = serde_json::to_value(normal::RULES)?;
    serde_json::to_string_pretty(&value)
}

fn verdict(report: &Report) -> String {
    let (equal, all) =
        report.areas().iter().fold((0, 0), |(equal, all), area| (equal + area.2, all + area.3));
    match report.is_equal() {
        true => format!("equal: {equal} of {all} comparisons"),
        false => format!("NOT EQUAL: {equal} of {all} comparisons"),
    }
}

fn areas(report: &Report) -> Table {
    let mut table =
        Table::default().words("area").numbers("cases").numbers("equal").numbers("of").numbers("score");
    for (area, cases, equal, all) in report.areas() {
        let score =
            (100 * equal).checked_div(all).map_or_else(|| "–".to_owned(), |score| format!("{score} %"));
        table.row(vec![area.name(), cases.to_string(), equal.to_string(), all.to_string(), score]);
    }
    table
}

fn latencies(report: &Report) -> Table {
    let mut table = Table::default().words("handle").numbers("p50").numbers("p95").numbers("requests");
    for latency in &report.latencies {
        let (p50, p95) = (format!("{:.1} ms", latency.p50_ms), format!("{:.1} ms", latency.p95_ms));
        table.row(vec![latency.handle.name().to_owned(), p50, p95, latency.requests.to_string()]);
    }
    table
}

/// Every case, with a mark for each handle.
fn cases(report: &Report) -> Table {
    let mut table = Table::default().words("area").words("case");
    for handle in report.handles.iter().skip(1) {
        table = table.words(handle.name());
    }
    for case in &report.cases {
        let mut row = vec![case.area.name(), case.name.clone()];
        row.extend(report.handles.iter().skip(1).map(|handle| mark(case, *handle).to_owned()));
        table.row(row);
    }
    table
}

fn mark(case: &Judged, handle: Handle) -> &'static str {
    let beside = case.beside.iter().find(|beside| beside.handle == handle);
    match (beside.map(|beside| &beside.verdict), &case.wrong) {
        (None, _) => "skipped",
        (_, Some(_)) => "WRONG",
        (Some(Verdict::Equal), _) => "=",
        (Some(Verdict::Allowed(_)), _) => "allowed",
        (Some(Verdict::Differs(_)), _) => "DIFFERS",
        (Some(Verdict::LeftOut(_)), _) => "–",
    }
}

/// What is wrong with a case, one line each, the first difference first.
fn findings(case: &Judged) -> Vec<String> {
    let mut lines: Vec<_> =
        case.wrong.iter().map(|wrong| format!("{}: {}", Handle::ALL[0].name(), shortened(wrong))).collect();
    for beside in &case.beside {
        let Verdict::Differs(differences) = &beside.verdict else { continue };
        for difference in differences.iter().take(SHOWN_MAX) {
            let (reference, here) = (shown(&difference.reference), shown(&difference.here));
            let (handle, at) = (beside.handle.name(), &difference.at);
            lines.push(format!("{handle} at {at}\n      - {reference}\n      + {here}"));
        }
        if differences.len() > SHOWN_MAX {
            lines.push(format!("{}: {} more", beside.handle.name(), differences.len() - SHOWN_MAX));
        }
    }
    lines
}

fn shown(value: &Value) -> String {
    shortened(&value.to_string())
}

fn shortened(text: &str) -> String {
    let mut letters = text.chars();
    let begin: String = letters.by_ref().take(SHOWN_LETTERS_MAX).collect();
    if letters.next().is_some() { begin + "…" } else { begin }
}

fn names(handles: &[Handle]) -> String {
    handles.iter().map(|handle| handle.name()).collect::<Vec<_>>().join("; ")
}
