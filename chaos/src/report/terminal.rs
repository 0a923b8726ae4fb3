//! Formats the report for a terminal: three tables, then what broke, and the verdict last, where it stays on screen.

use std::fmt::Write;

use super::{Run, Scenario, Standing, table::Table, words};
use crate::Guarantee;

/// How many findings of one scenario are shown; the files have all of them.
const FINDINGS_SHOWN: usize = 5;

/// The report, for a terminal.
pub fn terminal(run: &Run) -> String {
    let mut text = String::new();
    let scenarios = run.scenarios.len();
    let took = words::duration(run.took_ms);
    let _ = writeln!(text, "dynode chaos · seed {} · {scenarios} scenarios · {took}\n", run.seed);
    text += &requests(run).aligned();
    text.push('\n');
    text += &troubles(run).aligned();
    text.push('\n');
    text += &guarantees(run).aligned();
    for scenario in &run.scenarios {
        text += &breaches(scenario);
    }
    for skipped in &run.skipped {
        let _ = write!(text, "\n  skipped:  {}: {}", skipped.name, skipped.why);
    }
    for weakness in &run.weaknesses {
        let _ = write!(text, "\n  weakened: {}: {}", weakness.setting, weakness.means);
    }
    let versions: Vec<_> = run.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let _ = writeln!(text, "\n  versions: {}", versions.join(", "));
    let exit = run.exit();
    let _ = writeln!(text, "  again:    {}", run.replay);
    let _ = writeln!(text, "\n{} (exit code {})", exit.words(), exit.code());
    text
}

/// The counts of the requests.
pub(super) fn requests(run: &Run) -> Table {
    let mut table = Table::default().words("scenario");
    for (name, _) in super::Tally::default().columns() {
        table = table.numbers(name);
    }
    for scenario in &run.scenarios {
        let numbers = scenario.tally.columns().map(|(_, number)| words::count(number));
        table.row([scenario.name.clone()].into_iter().chain(numbers).collect());
    }
    table
}

/// The injected faults, and their effect on the latency.
pub(super) fn troubles(run: &Run) -> Table {
    let mut table =
        Table::default().words("scenario").words("p50/p99 quiet").words("under fault").words("healed");
    table = table.numbers("recovered in").words("injected ×fired");
    for scenario in &run.scenarios {
        let latencies = &scenario.latencies;
        let parts = [latencies.quiet, latencies.fault, latencies.healed].map(percentiles);
        let faults: Vec<_> = scenario
            .faults
            .iter()
            .map(|fault| format!("{} ×{}", fault.class, words::count(fault.fired)))
            .collect();
        let mut row = vec![scenario.name.clone()];
        row.extend(parts);
        row.extend([words::duration_or_dash(latencies.recovered_ms), faults.join(", ")]);
        table.row(row);
    }
    table
}

fn percentiles(part: Option<super::Percentiles>) -> String {
    part.map_or_else(
        || "–".into(),
        |part| format!("{} / {}", words::duration(part.p50_ms), words::duration(part.p99_ms)),
    )
}

/// The standing of each guarantee, and the scenarios that tested it.
pub(super) fn guarantees(run: &Run) -> Table {
    let mut table =
        Table::default().words("").words("guarantee").words("verdict").numbers("times").words("by");
    for guarantee in Guarantee::ALL {
        let standing = run.standing(guarantee);
        let tested = run.scenarios.iter().filter(|scenario| {
            let one = Standing::from(scenario.verdicts.of(guarantee));
            std::mem::discriminant(&one) == std::mem::discriminant(&standing)
        });
        let by = match standing {
            Standing::NotExercised => String::new(),
            _ => by(&tested.map(|scenario| scenario.name.as_str()).collect::<Vec<_>>(), run.scenarios.len()),
        };
        let (number, title) = (guarantee.to_string(), guarantee.title().to_owned());
        table.row(vec![number, title, words::standing(standing).into(), words::extent(standing), by]);
    }
    table
}

/// Up to three names; for more, their number.
fn by(names: &[&str], all: usize) -> String {
    match names {
        names if names.len() <= 3 => names.join(", "),
        names if names.len() == all => "all scenarios".into(),
        names => format!("{} scenarios", names.len()),
    }
}

fn breaches(scenario: &Scenario) -> String {
    let mut text = String::new();
    let findings: Vec<_> = scenario.verdicts.findings().collect();
    if findings.is_empty() && scenario.shortfalls.is_empty() {
        return text;
    }
    let _ = writeln!(text, "\n  {}: {}", scenario.name, scenario.exit().words());
    for shortfall in &scenario.shortfalls {
        let _ = writeln!(text, "    {shortfall}");
    }
    for finding in findings.iter().take(FINDINGS_SHOWN) {
        let whose =
            finding.request.as_ref().map(|key| format!(" {}/{}", key.tenant, key.id)).unwrap_or_default();
        let lines: Vec<_> = finding.lines.iter().map(|line| (line + 1).to_string()).collect();
        let _ = writeln!(text, "    {}{whose}: {}", finding.guarantee, finding.sentence);
        let _ = writeln!(text, "       {}, lines {} of its history", finding.kind, lines.join(", "));
    }
    if findings.len() > FINDINGS_SHOWN {
        let _ = writeln!(text, "    and {} more, in the report files", findings.len() - FINDINGS_SHOWN);
    }
    text
}
