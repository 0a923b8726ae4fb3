//! `dynode cost`: shows the usage and cost of requests, as summed by the server.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use reqwest::{Method, Url};
use schemas::{Dimension, UsageKey, UsageReport, UsageSum};
use serde_json::Value;

use crate::{
    cli::CostArgs,
    command::{
        self,
        api::{self, Api, Fault},
        table::Table,
    },
};

/// Requests the sums and shows them.
pub(crate) fn run(args: &CostArgs) -> anyhow::Result<ExitCode> {
    let api = Api::new(&args.server)?;
    api::run(async {
        let answer = api.ask(Method::GET, &path(args), None).await?;
        if args.json {
            writeln!(io::stdout(), "{answer}")?;
        } else {
            show(answer)?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn path(args: &CostArgs) -> String {
    let by = args.by.iter().map(|dimension| dimension.as_str()).collect::<Vec<_>>().join(",");
    let until = args.until.as_deref().map(|until| ("until", until));
    let fields = [("by", by.as_str()), ("since", args.since.as_str())].into_iter().chain(until);
    // Only the query is used: it encodes the sign of a time zone, which would otherwise read as a space.
    let url = Url::parse_with_params("http://dynode", fields);
    format!("/v1/usage?{}", url.ok().as_ref().and_then(Url::query).unwrap_or_default())
}

fn show(answer: Value) -> Result<(), Fault> {
    let report: UsageReport = serde_json::from_value(answer)
        .map_err(|error| Fault::Refused(format!("cannot read the server's usage report: {error}")))?;
    writeln!(io::stdout(), "{}", table(&report))?;
    let UsageSum { unpriced_calls, usage, .. } = &report.total;
    if *unpriced_calls > 0 {
        command::complain(&format!(
            "{unpriced_calls} calls went to models without a `price`; the cost does not include them"
        ));
    }
    if usage.estimated {
        command::complain("some of it is estimated: the provider reported nothing, or the call was cut off");
    }
    Ok(())
}

/// The name of a number in a sum, and the number.
type Number = (&'static str, fn(&UsageSum) -> String);

const NUMBERS: [Number; 10] = [
    ("requests", |sum| sum.requests.to_string()),
    ("calls", |sum| sum.calls.to_string()),
    ("input", |sum| sum.usage.input_tokens.to_string()),
    ("output", |sum| sum.usage.output_tokens.to_string()),
    ("cached", |sum| sum.usage.cached_tokens.to_string()),
    ("reasoning", |sum| sum.usage.reasoning_tokens.to_string()),
    ("images", |sum| sum.usage.images.to_string()),
    ("characters", |sum| sum.usage.characters.to_string()),
    ("seconds", |sum| format!("{:.1}", sum.usage.media_ms as f64 / 1e3)),
    ("USD", |sum| format!("{:.6}", sum.cost_usd)),
];
/// Columns that are shown only if the total has any.
const RARE: [&str; 5] = ["cached", "reasoning", "images", "characters", "seconds"];

/// One row per group, and the total below.
fn table(report: &UsageReport) -> Table {
    let none = UsageSum::default();
    let is_shown = |(name, of): &Number| !RARE.contains(name) || of(&report.total) != of(&none);
    let numbers: Vec<Number> = NUMBERS.into_iter().filter(is_shown).collect();
    let numbers_of = |sum: &UsageSum| numbers.iter().map(|(_, of)| of(sum)).collect::<Vec<_>>();
    let names = report.by.iter().map(|dimension| dimension.as_str());
    let head = names.chain(numbers.iter().map(|(name, _)| *name)).map(str::to_owned);
    let mut table = Table::new(head.collect(), report.by.len());
    for row in &report.data {
        let about = report.by.iter().map(|dimension| about(&row.key, *dimension));
        table.row(about.chain(numbers_of(&row.sum)).collect());
    }
    if !report.by.is_empty() {
        let mut about = vec![String::new(); report.by.len()];
        "total".clone_into(&mut about[0]);
        table.row(about.into_iter().chain(numbers_of(&report.total)).collect());
    }
    table
}

fn about(key: &UsageKey, dimension: Dimension) -> String {
    let about = match dimension {
        Dimension::Hour => key.hour.map(|hour| hour.to_string()),
        Dimension::Organisation => key.organisation.clone(),
        Dimension::Instance => key.instance.clone(),
        Dimension::Project => key.project.clone(),
        Dimension::Key => key.key.as_ref().map(ToString::to_string),
        Dimension::Tenant => key.tenant.as_ref().map(ToString::to_string),
        Dimension::Session => key.session.as_ref().map(ToString::to_string),
        Dimension::Action => key.action.map(|action| action.to_string()),
        Dimension::Provider => key.provider.clone(),
        Dimension::Model => key.model.clone(),
    };
    about.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn a_question_is_told_whole() {
        let line = "dynode cost --by model,hour --since 2026-11-28T00:00:00+02:00 --until 1h";
        let Some(Command::Cost(args)) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("not cost");
        };
        let expected = "/v1/usage?by=model%2Chour&since=2026-11-28T00%3A00%3A00%2B02%3A00&until=1h";
        assert_eq!(path(&args), expected);
    }

    #[test]
    fn sums_are_a_table_with_its_total() {
        let sum = |requests: u64, cost_usd: f64| {
            json!({"requests": requests, "calls": requests, "unpriced_calls": 0, "cost_usd": cost_usd,
                "usage": {"input_tokens": 10, "output_tokens": 2}})
        };
        let row = |session: Option<&str>, mut sum: Value| {
            sum["session"] = json!(session);
            sum
        };
        let report = json!({
            "object": "list", "since": "2026-11-28T00:00:00Z", "by": ["session"],
            "data": [row(None, sum(10, 0.5)), row(Some("s-1"), sum(2, 0.25))], "total": sum(12, 0.75),
        });
        let expected = "session  requests  calls  input  output       USD\n\
                        -              10     10     10       2  0.500000\n\
                        s-1             2      2     10       2  0.250000\n\
                        total          12     12     10       2  0.750000";
        assert_eq!(table(&serde_json::from_value(report).unwrap()).to_string(), expected);
    }
}
