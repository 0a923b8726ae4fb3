//! Formats the figures for a terminal: a table per scenario, then the notes, and how to repeat the run.

use std::fmt::Write;

use super::rows::{columns, number, rows};
use crate::{
    bench::{
        Outcome, Tested,
        compare::{Change, Comparison},
    },
    report::{table::Table, words},
};

/// The figures, for a terminal.
#[must_use]
pub fn terminal(outcome: &Outcome) -> String {
    let mut text = String::new();
    let facts: Vec<_> =
        outcome.environment.facts.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let _ = writeln!(text, "dynode bench · {} · {}", outcome.began, words::duration(outcome.took_ms));
    let _ = writeln!(text, "  {}", facts.join(" · "));
    for tested in &outcome.scenarios {
        let _ = writeln!(text, "\n{}: {}", tested.name, tested.about);
        text += &table(tested).aligned();
        for point in &tested.points {
            for note in &point.notes {
                let _ = writeln!(text, "  note: {}: {note}", point.load);
            }
        }
    }
    text.push('\n');
    for skipped in &outcome.skipped {
        let _ = writeln!(text, "  skipped:  {}: {}", skipped.name, skipped.why);
    }
    for (setting, means) in &outcome.environment.weakened {
        let _ = writeln!(text, "  weakened: {setting}: {means}");
    }
    for warning in &outcome.environment.warnings {
        let _ = writeln!(text, "  warning:  {warning}");
    }
    let _ = writeln!(text, "  again:    {}", outcome.command);
    text
}

fn table(tested: &Tested) -> Table {
    let columns = columns(tested);
    let mut table = Table::default().words("load").words("of");
    for metric in &columns {
        table = table.numbers(metric.head());
    }
    table = table.numbers("spread");
    for row in rows(tested, &columns) {
        table.row([row.load, row.whose].into_iter().chain(row.cells).chain([row.spread]).collect());
    }
    table
}

/// A comparison, for a terminal.
#[must_use]
pub fn comparison(comparison: &Comparison) -> String {
    let mut table = Table::default().words("").words("scenario").words("figure");
    table = table.numbers("before").numbers("after").numbers("change");
    for line in comparison.lines.iter().filter(|line| line.change != Change::Same) {
        let by = if line.before == 0.0 { 0.0 } else { 100.0 * (line.after / line.before - 1.0) };
        let word = match line.change {
            Change::Worse => "WORSE",
            Change::Unsure => "unsure",
            Change::Same => "same",
            Change::Improved => "better",
        };
        let figure = line.metric.head().to_owned();
        let (before, after) = (number(line.before), number(line.after));
        table.row(vec![word.into(), line.name.clone(), figure, before, after, format!("{by:+.0} %")]);
    }
    let mut text = table.aligned();
    for missing in &comparison.missing {
        let _ = writeln!(text, "  missing in the second run: {missing}");
    }
    for difference in &comparison.differences {
        let _ = writeln!(text, "  unlike: {difference}");
    }
    let count = |change| comparison.count(change);
    let _ = writeln!(
        text,
        "{} compared: {} worse, {} unsure, {} better, {} the same",
        comparison.lines.len(),
        count(Change::Worse),
        count(Change::Unsure),
        count(Change::Improved),
        count(Change::Same),
    );
    text
}
