//! `dynode estimate`: shows what a request would cost with each model that the server would try. Nothing is sent to a
//! provider.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use reqwest::Method;
use schemas::{Estimate, EstimatedStep, Request};
use serde_json::Value;

use crate::{
    cli::EstimateArgs,
    command::{
        self,
        api::{self, Api, Fault},
        question,
        table::Table,
    },
    exit,
};

/// Requests the estimate for `args` and shows it.
pub(crate) fn run(args: &EstimateArgs) -> anyhow::Result<ExitCode> {
    let asked = question::payload(&args.question, true, io::stdin(), io::stdin().is_terminal())?;
    let payload = match asked.unwrap_or_else(|| Err(question::nothing("estimate"))) {
        Ok(payload) => payload,
        Err(error) => {
            command::complain(&error.message);
            return Ok(exit::USAGE.into());
        }
    };
    let request = serde_json::to_value(Request::new(args.question.action, payload))?;
    let api = Api::new(&args.server)?;
    api::run(async {
        let answer = api.ask(Method::POST, "/v1/estimate", Some(&request)).await?;
        if args.json {
            writeln!(io::stdout(), "{answer}")?;
        } else {
            writeln!(io::stdout(), "{}", shown(answer)?)?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn shown(answer: Value) -> Result<String, Fault> {
    let estimate: Estimate = serde_json::from_value(answer)
        .map_err(|error| Fault::Refused(format!("cannot read the server's estimate: {error}")))?;
    let head = ["model", "input", "output at most", "USD at least", "USD at most"].map(str::to_owned);
    let mut table = Table::new(head.into(), 1);
    let cost = |cost: Option<f64>| cost.map_or_else(|| "?".to_owned(), |cost| format!("{cost:.6}"));
    for EstimatedStep { provider, model, output_tokens_max, cost_usd_min, cost_usd_max } in &estimate.steps {
        table.row(vec![
            format!("{provider}/{model}"),
            estimate.input_tokens.to_string(),
            output_tokens_max.map_or_else(|| "?".to_owned(), |tokens| tokens.to_string()),
            cost(*cost_usd_min),
            cost(*cost_usd_max),
        ]);
    }
    let left_out = estimate.left_out.iter().map(|left_out| {
        let line = format!("left out: {}/{} {}", left_out.provider, left_out.model, left_out.why);
        line.escape_debug().to_string()
    });
    let tried = if estimate.steps.is_empty() { "no model can do it".to_owned() } else { table.to_string() };
    Ok(std::iter::once(tried).chain(left_out).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_model_is_a_row_and_who_is_left_out_is_told() {
        let step = |model: &str, most: Option<f64>| {
            json!({"provider": "a", "model": model, "output_tokens_max": most.map(|_| 100), "cost_usd_min": 0.5,
                "cost_usd_max": most})
        };
        let left_out = json!({"provider": "c", "model": "m", "why": "calls no tools"});
        let mut estimate = json!({"action": "chat.completion", "input_tokens": 12,
            "steps": [step("small", Some(1.5)), step("big", None)], "left_out": [left_out]});
        let expected = "model    input  output at most  USD at least  USD at most\n\
                        a/small     12             100      0.500000     1.500000\n\
                        a/big       12               ?      0.500000            ?\n\
                        left out: c/m calls no tools";
        assert_eq!(shown(estimate.clone()).unwrap(), expected);
        estimate["steps"] = json!([]);
        assert_eq!(shown(estimate).unwrap(), "no model can do it\nleft out: c/m calls no tools");
    }
}
