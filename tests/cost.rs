//! What requests cost: told before, summed after, as their outcomes say.

use serde_json::{Value, json};

use crate::support::{Broker, Dynode, Launch, within};

/// Two models with prices and one without.
const PROVIDERS: &str = r#"
[providers.paid]
kind = "simulated"
[providers.paid.models.small]
price = { input = 1000, output = 2000 }
context_tokens = 100
[providers.paid.models.large]
price = { input = 5000, output = 9000 }
[providers.paid.models.free]
[waterfalls."chat.completion".any]
steps = ["paid/large", "paid/small", "paid/free"]
prefer = "cost"
"#;

on_each_broker!(costs_are_summed_as_the_outcomes_say, an_estimate_goes_down_the_waterfall);

fn chat(id: &str, model: &str, session: Option<&str>, simulate: Value) -> Value {
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let payload = json!({"model": model, "messages": messages, "simulate": simulate});
    json!({"id": id, "action": "chat.completion", "payload": payload, "session": session})
}

/// The sums, once these many requests are in them: an entry is written while the end is told.
async fn sums(dynode: &Dynode, by: &str, requests: u64) -> Value {
    let ask = async {
        loop {
            let out = dynode.run(&["cost", "--json", "--by", by]).await.succeeded();
            let sums: Value = serde_json::from_str(&out).unwrap();
            if sums["total"]["requests"] == requests {
                return sums;
            }
        }
    };
    within("the ledger", ask).await
}

fn same(a: f64, b: &Value) -> bool {
    (a - b.as_f64().unwrap()).abs() < 1e-9
}

async fn costs_are_summed_as_the_outcomes_say(broker: Broker) {
    let mut dynode = Launch::on(&broker).file(PROVIDERS).start().await;
    let fails_once = json!({"fail": "provider_unavailable", "after_tokens": 1, "times": 1});
    let requests = [
        chat("a", "paid/small", Some("s"), json!({})),
        chat("b", "paid/large", Some("s"), fails_once),
        chat("c", "paid/large", None, json!({"tokens": 3})),
        chat("d", "paid/free", None, json!({})),
    ];
    let (mut total, mut large, mut tokens, mut calls) = (0.0, 0.0, 0, 0);
    for request in &requests {
        dynode.post("/v1/requests", request).await;
        let outcome = dynode.outcome(request["id"].as_str().unwrap()).await;
        assert_eq!(outcome["status"], "succeeded", "{outcome:#}");
        let cost = outcome["cost_usd"].as_f64().unwrap_or(0.0);
        total += cost;
        large += if request["payload"]["model"] == "paid/large" { cost } else { 0.0 };
        tokens += outcome["usage"]["output_tokens"].as_u64().unwrap();
        calls += outcome["attempts"].as_array().unwrap().len();
    }
    let report = sums(&dynode, "model", 4).await;
    assert!(total > 0.0 && same(total, &report["total"]["cost_usd"]), "{total}: {report:#}");
    assert_eq!(report["total"]["usage"]["output_tokens"], tokens);
    assert_eq!((&report["total"]["calls"], &report["total"]["unpriced_calls"]), (&json!(calls), &json!(1)));
    let models: Vec<_> = report["data"].as_array().unwrap().iter().map(|row| &row["model"]).collect();
    assert_eq!(models, ["free", "large", "small"]);
    assert!(same(large, &report["data"][1]["cost_usd"]), "{large}: {report:#}");
    let by_session = sums(&dynode, "tenant,session,action,hour", 4).await;
    assert_eq!(by_session["total"], report["total"]);
    assert!(by_session["data"].as_array().unwrap().iter().any(|row| row["session"] == "s"), "{by_session:#}");

    let table = dynode.run(&["cost", "--since", "1h"]).await.succeeded();
    let last: Vec<_> = table.lines().last().unwrap().split_whitespace().collect();
    assert_eq!((last[0], last.last().copied()), ("total", Some(&*format!("{total:.6}"))), "{table}");
    let wrong = dynode.run(&["cost", "--since", "soon"]).await;
    assert!(wrong.failed(1).contains("since"));
    let metrics = crate::support::client().get(dynode.url() + "/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let counted = metrics.lines().find(|line| {
        line.starts_with("dynode_cost_usd_total") && line.contains("\"paid\"") && line.contains("\"large\"")
    });
    let counted: f64 =
        counted.unwrap_or_else(|| panic!("{metrics}")).split(' ').next_back().unwrap().parse().unwrap();
    assert!(same(counted, &json!(large)), "{counted} {large}");

    if matches!(broker, Broker::Managed) {
        dynode.kill().await;
        dynode.restart().await;
        assert_eq!(sums(&dynode, "model", 4).await["total"], report["total"], "a crash forgets nothing");
    }
}

async fn an_estimate_goes_down_the_waterfall(broker: Broker) {
    let dynode = Launch::on(&broker).file(PROVIDERS).start().await;
    let payload = |tokens: Value| {
        let messages = json!([{"role": "user", "content": "12345678"}]);
        json!({"model": "any", "messages": messages, "max_tokens": tokens, "tools": [{"type": "function"}]})
    };
    let estimate = async |tokens: Value| {
        let mut command = dynode.command(&["estimate", "--json", "--payload", "-"]);
        command.env("DYNODE_URL", dynode.url());
        let ended = crate::support::run(command, &payload(tokens).to_string()).await;
        serde_json::from_str::<Value>(&ended.succeeded()).unwrap()
    };
    let bounded = estimate(json!(50)).await;
    let steps = bounded["steps"].as_array().unwrap();
    let models: Vec<_> = steps.iter().map(|step| step["model"].as_str().unwrap()).collect();
    assert_eq!(models, ["small", "large", "free"], "the cheapest goes first: {bounded:#}");
    assert!(same(0.002, &steps[0]["cost_usd_min"]) && same(0.102, &steps[0]["cost_usd_max"]), "{bounded:#}");
    assert_eq!((&bounded["input_tokens"], &steps[2]["cost_usd_max"]), (&json!(2), &Value::Null));
    let long = estimate(json!(5_000)).await;
    assert!(long["left_out"][0]["why"].as_str().unwrap().contains("holds 100 tokens"), "{long:#}");
    let open = estimate(Value::Null).await;
    assert_eq!(open["steps"][0]["output_tokens_max"], 98, "what the model has room for: {open:#}");
    assert_eq!(open["steps"][1]["cost_usd_max"], Value::Null, "nothing bounds it: {open:#}");

    let table = dynode.run(&["estimate", "--model", "paid/small", "Hello"]).await.succeeded();
    assert!(table.lines().nth(1).unwrap().starts_with("paid/small"), "{table}");
    let unknown = dynode.run(&["estimate", "--model", "none", "x"]).await;
    assert!(unknown.failed(1).contains("none"));
    assert_eq!(sums(&dynode, "model", 0).await["data"], json!([]), "nothing has run");
}
