//! Formats one scenario on the page: its picture, its numbers, its faults, and what it broke.

use std::fmt::Write;

use super::class_of;
use crate::report::{Scenario, picture, words};

/// How many findings are shown; even if a run breaks everything, its page must open.
const FINDINGS_SHOWN: usize = 200;

pub(super) fn section(scenario: &Scenario) -> String {
    let (name, about) = (words::escape(&scenario.name), words::escape(&scenario.about));
    let exit = scenario.exit();
    let mut html = format!(
        "<section id=\"{name}\">\n<h2>{name} <span class=\"pill {}\">{}</span></h2>\n<p>{about}</p>\n",
        class_of(exit),
        exit.words()
    );
    for shortfall in &scenario.shortfalls {
        let _ = writeln!(html, "<p class=\"note\">{}</p>", words::escape(&shortfall.to_string()));
    }
    html += "<figure class=\"scroll\">\n";
    html += &picture::picture(&scenario.name, &scenario.timeline);
    html += "</figure>\n<p class=\"legend\"><i class=\"succeeded\"></i>succeeded <i class=\"failed\"></i>failed \
             <i class=\"expired\"></i>expired <i class=\"cancelled\"></i>cancelled <i class=\"fault\"></i>fault · × died · | went as asked</p>\n";
    html += &numbers(scenario);
    html += "<div class=\"pair\">\n";
    html += &latencies(scenario);
    html += &faults(scenario);
    html += "</div>\n";
    html + &findings(scenario) + "</section>\n"
}

fn numbers(scenario: &Scenario) -> String {
    let mut html = String::from("<dl class=\"numbers\">\n");
    for (name, number) in scenario.tally.columns() {
        let class = if name == "lost" && number > 0 { " class=\"bad\"" } else { "" };
        let _ = writeln!(html, "<div{class}><dt>{name}</dt><dd>{}</dd></div>", words::count(number));
    }
    html + "</dl>\n"
}

fn latencies(scenario: &Scenario) -> String {
    let mut html = String::from(
        "<div class=\"scroll\"><table>\n<thead><tr><th>latency</th><th class=\"number\">requests</th><th class=\"number\">p50</th><th class=\"number\">p99</th></tr></thead>\n<tbody>\n",
    );
    let latencies = &scenario.latencies;
    let parts = [("quiet", latencies.quiet), ("under fault", latencies.fault), ("healed", latencies.healed)];
    for (name, part) in parts {
        let of = |value: fn(&crate::report::Percentiles) -> String| {
            part.as_ref().map_or_else(|| "–".into(), value)
        };
        let requests = of(|part| words::count(part.requests as u64));
        let (p50, p99) = (of(|part| words::duration(part.p50_ms)), of(|part| words::duration(part.p99_ms)));
        let _ = writeln!(
            html,
            "<tr><th>{name}</th><td class=\"number\">{requests}</td><td class=\"number\">{p50}</td><td class=\"number\">{p99}</td></tr>"
        );
    }
    let recovered = words::duration_or_dash(latencies.recovered_ms);
    let _ =
        writeln!(html, "<tr><th>recovered in</th><td class=\"number\" colspan=\"3\">{recovered}</td></tr>");
    html + "</tbody></table></div>\n"
}

fn faults(scenario: &Scenario) -> String {
    if scenario.faults.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<div class=\"scroll\"><table>\n<thead><tr><th>fault</th><th>on</th><th class=\"number\">injected</th><th class=\"number\">struck</th></tr></thead>\n<tbody>\n",
    );
    for fault in &scenario.faults {
        let (class, targets) = (words::escape(&fault.class), words::escape(&fault.targets.join(", ")));
        let (injected, fired) = (words::count(fault.injected), words::count(fault.fired));
        let bad = if fault.fired == 0 { " bad" } else { "" };
        let _ = writeln!(
            html,
            "<tr><th>{class}</th><td>{targets}</td><td class=\"number\">{injected}</td><td class=\"number{bad}\">{fired}</td></tr>"
        );
    }
    html + "</tbody></table></div>\n"
}

fn findings(scenario: &Scenario) -> String {
    let findings: Vec<_> = scenario.verdicts.findings().collect();
    if findings.is_empty() {
        return String::new();
    }
    let found = match findings.len() {
        1 => "1 finding".to_owned(),
        many => format!("{many} findings"),
    };
    let mut html = format!("<details open>\n<summary>{found}</summary>\n<ol class=\"findings\">\n");
    for finding in findings.iter().take(FINDINGS_SHOWN) {
        let key = finding.request.as_ref();
        let whose = key.map(|key| format!(" <code>{}/{}</code>", key.tenant, key.id)).unwrap_or_default();
        let lines: Vec<_> = finding.lines.iter().map(|line| (line + 1).to_string()).collect();
        let (guarantee, kind, sentence) = (finding.guarantee, finding.kind, words::escape(&finding.sentence));
        let _ = writeln!(
            html,
            "<li><b>{guarantee}</b>{whose} {sentence} <small>{kind}, lines {} of its history</small></li>",
            lines.join(", ")
        );
    }
    html += "</ol>\n";
    if findings.len() > FINDINGS_SHOWN {
        let _ = writeln!(html, "<p class=\"note\">and {} more</p>", findings.len() - FINDINGS_SHOWN);
    }
    html + "</details>\n"
}
