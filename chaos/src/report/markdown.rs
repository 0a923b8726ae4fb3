//! Formats the report as Markdown, to paste into a conversation: the same tables, and every finding.

use std::fmt::Write;

use super::{Run, Scenario, terminal};

/// The report, as Markdown.
pub fn markdown(run: &Run) -> String {
    let exit = run.exit();
    let mut text = format!("# Chaos report: {}\n\n", exit.words());
    let took = super::words::duration(run.took_ms);
    let _ = writeln!(text, "{} · {took} · seed {} · exit code {}\n", run.began, run.seed, exit.code());
    let _ = writeln!(text, "Again: `{}`\n", run.replay);
    let _ = writeln!(text, "## Guarantees\n\n{}", terminal::guarantees(run).piped());
    let _ = writeln!(text, "## Requests\n\n{}", terminal::requests(run).piped());
    let _ = writeln!(text, "## Faults and latency\n\n{}", terminal::troubles(run).piped());
    text += "## Scenarios\n";
    for scenario in &run.scenarios {
        text += &section(scenario);
    }
    for skipped in &run.skipped {
        let _ = writeln!(text, "\n### {}: skipped\n\n{}", skipped.name, skipped.why);
    }
    text += "\n## Settings and versions\n\n";
    for weakness in &run.weaknesses {
        let _ = writeln!(text, "- weakened: `{}`: {}", weakness.setting, weakness.means);
    }
    for (name, version) in &run.versions {
        let _ = writeln!(text, "- {name} {version}");
    }
    text
}

fn section(scenario: &Scenario) -> String {
    let mut text = format!("\n### {}: {}\n\n{}\n", scenario.name, scenario.exit().words(), scenario.about);
    for fault in &scenario.faults {
        let (class, targets) = (&fault.class, fault.targets.join(", "));
        let _ =
            write!(text, "\n- `{class}` on {targets}: injected {}×, struck {}×", fault.injected, fault.fired);
    }
    if !scenario.faults.is_empty() {
        text.push('\n');
    }
    for shortfall in &scenario.shortfalls {
        let _ = writeln!(text, "\n**Too little:** {shortfall}.");
    }
    for finding in scenario.verdicts.findings() {
        let whose =
            finding.request.as_ref().map(|key| format!(" `{}/{}`", key.tenant, key.id)).unwrap_or_default();
        let lines: Vec<_> = finding.lines.iter().map(|line| (line + 1).to_string()).collect();
        let (guarantee, kind, sentence) = (finding.guarantee, finding.kind, &finding.sentence);
        let _ = writeln!(text, "\n**{guarantee}**{whose} {sentence} (`{kind}`, lines {})", lines.join(", "));
    }
    text
}
