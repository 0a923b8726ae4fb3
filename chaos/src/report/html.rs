//! Formats the report as one self-contained HTML file: no script, no font, no network request.

mod section;

use std::fmt::Write;

use super::{Exit, Run, Standing, words};
use crate::Guarantee;

/// The style of all our pages.
pub(crate) const STYLE: &str = include_str!("html/style.css");

/// The report, as an HTML page.
pub fn html(run: &Run) -> String {
    let exit = run.exit();
    let mut page = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    let _ = writeln!(
        page,
        "<title>Dynode chaos: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>",
        exit.words()
    );
    page += &header(run, exit);
    page += "<main>\n";
    page += &cards(run);
    page += &guarantees(run);
    for scenario in &run.scenarios {
        page += &section::section(scenario);
    }
    page += &skipped(run);
    page += &settings(run);
    page += "</main>\n</body>\n</html>\n";
    page
}

fn header(run: &Run, exit: Exit) -> String {
    let class = class_of(exit);
    let headline = match exit {
        Exit::Pass => "Everything that was tried held",
        Exit::Safety => "A guarantee is broken",
        Exit::Liveness => "Nothing was wrong, but not all was in time",
        Exit::Harness => "Nothing broke, and too little was tried to say so",
    };
    let (began, took, seed) = (words::escape(&run.began), words::duration(run.took_ms), run.seed);
    format!(
        "<header class=\"{class}\">\n<p class=\"eyebrow\">Dynode chaos</p>\n<h1>{headline}</h1>\n\
         <p><span class=\"pill {class}\">exit code {}</span> {began} · {took} · seed {seed}</p>\n</header>\n",
        exit.code()
    )
}

pub(super) const fn class_of(exit: Exit) -> &'static str {
    match exit {
        Exit::Pass => "good",
        Exit::Safety | Exit::Liveness => "bad",
        Exit::Harness => "weak",
    }
}

/// The numbers that people look for first.
fn cards(run: &Run) -> String {
    let sum = |number: fn(&super::Tally) -> u64| {
        run.scenarios.iter().map(|scenario| number(&scenario.tally)).sum::<u64>()
    };
    let fired: u64 =
        run.scenarios.iter().flat_map(|scenario| &scenario.faults).map(|fault| fault.fired).sum();
    let cards = [
        ("requests accepted", sum(|tally| tally.accepted), false),
        ("lost", sum(|tally| tally.lost), true),
        ("faults that struck", fired, false),
        ("duplicate provider calls", sum(|tally| tally.duplicate_calls), false),
        ("refused", sum(|tally| tally.refused), false),
        ("unclear", sum(|tally| tally.unclear), false),
    ];
    let mut html = String::from("<section class=\"cards\">\n");
    for (name, number, is_bad) in cards {
        let class = if is_bad && number > 0 { " class=\"bad\"" } else { "" };
        let _ = writeln!(html, "<div{class}><b>{}</b><span>{name}</span></div>", words::count(number));
    }
    html + "</section>\n"
}

/// Each guarantee, overall and by scenario.
fn guarantees(run: &Run) -> String {
    let mut html = String::from(
        "<section>\n<h2>Guarantees</h2>\n<div class=\"scroll\"><table class=\"matrix\">\n<thead><tr><th>guarantee</th><th>verdict</th>",
    );
    for scenario in &run.scenarios {
        let name = words::escape(&scenario.name);
        let _ = write!(html, "<th class=\"scenario\"><a href=\"#{name}\">{name}</a></th>");
    }
    html += "</tr></thead>\n<tbody>\n";
    for guarantee in Guarantee::ALL {
        let standing = run.standing(guarantee);
        let (class, verdict, extent) = (mark(standing).0, words::standing(standing), words::extent(standing));
        let _ = write!(
            html,
            "<tr><th><b>{guarantee}</b> {}</th><td><span class=\"pill {class}\">{verdict}</span> <small>{extent}</small></td>",
            guarantee.title()
        );
        for scenario in &run.scenarios {
            let standing = Standing::from(scenario.verdicts.of(guarantee));
            let ((class, sign), verdict, extent) =
                (mark(standing), words::standing(standing), words::extent(standing));
            let _ = write!(html, "<td class=\"sign {class}\" title=\"{verdict} {extent}\">{sign}</td>");
        }
        html += "</tr>\n";
    }
    html + "</tbody></table></div>\n<p class=\"legend\">✓ held · ✗ broken · – not tested by this scenario. The number counts what it was tested on, or how often it broke.</p>\n</section>\n"
}

const fn mark(standing: Standing) -> (&'static str, &'static str) {
    match standing {
        Standing::Held(_) => ("good", "✓"),
        Standing::Broken(_) => ("bad", "✗"),
        Standing::NotExercised => ("none", "–"),
    }
}

/// The scenarios not playable here. Skipping them proves nothing, and hides nothing.
fn skipped(run: &Run) -> String {
    if run.skipped.is_empty() {
        return String::new();
    }
    let mut html = String::from("<section>\n<h2>Skipped</h2>\n<ul>\n");
    for skipped in &run.skipped {
        let (name, why) = (words::escape(&skipped.name), words::escape(&skipped.why));
        let _ = writeln!(html, "<li><b>{name}</b> {why}</li>");
    }
    html + "</ul>\n</section>\n"
}

fn settings(run: &Run) -> String {
    let mut html = String::from("<section>\n<h2>Settings and versions</h2>\n<ul>\n");
    for weakness in &run.weaknesses {
        let (setting, means) = (words::escape(&weakness.setting), words::escape(&weakness.means));
        let _ = writeln!(
            html,
            "<li><span class=\"pill weak\">weakened</span> <code>{setting}</code> {means}</li>"
        );
    }
    for (name, version) in &run.versions {
        let _ = writeln!(html, "<li>{} {}</li>", words::escape(name), words::escape(version));
    }
    let _ = writeln!(html, "</ul>\n<p>Again: <code>{}</code></p>\n</section>", words::escape(&run.replay));
    html
}
