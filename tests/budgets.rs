//! Budgets: what a tenant's requests at once cost together never passes its budget; the rest is refused and told when to
//! return; a budget that was raised holds at once.

use std::fs;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    support::{Broker, Dynode, Launch, client, within},
    workers,
};

on_each_broker!(requests_at_once_stay_within_the_budget);

/// A model whose tokens cost a tenth of a cent each, and ten cents a month for it.
const SETTINGS: &str = r#"
[providers.paid]
kind = "simulated"
[providers.paid.models.paid]
first_token_ms = 300
price = { input = 1000, output = 1000 }

[[budgets]]
tenant = "*"
per = "month"
usd = 0.1
"#;
const LIMIT: f64 = 0.1;
/// Five tokens that are read, and ten that are written.
const MOST: f64 = 0.015;

fn chat() -> Value {
    json!({"model": "paid", "messages": [{"role": "user", "content": "one two three four"}], "max_tokens": 10})
}

/// Asks so many times at once; returns the outcomes. A refusal at the door is one of a kind.
async fn ask_all(dynode: &Dynode, name: &str, count: usize) -> Vec<Value> {
    let ids: Vec<_> = (0..count).map(|number| format!("{name}{number}")).collect();
    let asked = join_all(ids.iter().map(|id| async move {
        let request = json!({"id": id, "action": "chat.completion", "payload": chat()});
        let (status, body) = dynode.post("/v1/requests", &request).await;
        assert!(matches!(status, 202 | 429), "{status} {body:#}");
        (status == 429).then(|| json!({"status": "failed", "error": body["error"]}))
    }))
    .await;
    join_all(ids.iter().zip(asked).map(|(id, refused)| async move {
        match refused {
            Some(refused) => refused,
            None => dynode.outcome(id).await,
        }
    }))
    .await
}

/// What they cost. Those that failed did so for the budget, and cost nothing.
fn cost(outcomes: &[Value]) -> f64 {
    for outcome in outcomes.iter().filter(|outcome| outcome["status"] != "succeeded") {
        assert_eq!(outcome["error"]["code"], "budget_exceeded", "{outcome:#}");
        assert!(outcome.get("cost_usd").is_none() && outcome.get("attempts").is_none(), "{outcome:#}");
    }
    let cost: f64 = outcomes.iter().filter_map(|outcome| outcome["cost_usd"].as_f64()).sum();
    // What adding has made of it beyond a billionth is no money.
    (cost * 1e9).round() / 1e9
}

async fn metric(dynode: &Dynode, name: &str) -> f64 {
    let text = client().get(dynode.url() + "/metrics").send().await.unwrap().text().await.unwrap();
    let line = format!("{name}{{per=\"month\",tenant=\"default\"}} ");
    text.lines().find_map(|have| have.strip_prefix(&line)?.parse().ok()).unwrap_or_default()
}

async fn requests_at_once_stay_within_the_budget(broker: Broker) {
    let dynode = Launch::on(&broker).file(SETTINGS).start().await;
    let mut outcomes = ask_all(&dynode, "r", 30).await;
    // What those did not need is there for the next ones, until not even one more fits.
    while cost(&outcomes) <= LIMIT - MOST {
        outcomes.extend(ask_all(&dynode, &format!("s{}-", outcomes.len()), 1).await);
    }
    let spent = cost(&outcomes);
    assert!(spent <= LIMIT, "{spent}");
    within("the warning", async {
        while !dynode.log().contains("a budget is nearly spent")
            || (metric(&dynode, "dynode_budget_spent_usd").await - spent).abs() > 1e-6
        {
            tokio::time::sleep(workers::LOOK_EVERY).await;
        }
    })
    .await;
    assert_eq!(metric(&dynode, "dynode_budget_limit_usd").await, LIMIT);
    assert_eq!(metric(&dynode, "dynode_budget_warnings_total").await, 1.0);
    assert!(metric(&dynode, "dynode_budget_refused_total").await >= 20.0);

    // It takes a moment until the doors know what is spent; from then on nothing of it waits in a queue.
    within("a refusal at the door", async {
        for number in 0.. {
            let request = json!({"id": format!("d{number}"), "action": "chat.completion", "payload": chat()});
            let (status, body) = dynode.post("/v1/requests", &request).await;
            if status == 429 {
                assert_eq!(body["error"]["code"], "budget_exceeded", "{body:#}");
                break;
            }
            tokio::time::sleep(workers::LOOK_EVERY).await;
        }
    })
    .await;
    let asked = client().post(dynode.url() + "/v1/chat/completions").json(&chat());
    let refused = within("a refusal", asked.send()).await.unwrap();
    assert_eq!(refused.status(), 429);
    let after = refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
    assert!((1..=31 * 24 * 3_600).contains(&after), "{after}");
    assert_eq!(refused.headers()["x-should-retry"], "false");
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["type"], "insufficient_quota", "{body:#}");
    assert_eq!(body["error"]["code"], "budget_exceeded");
    let told = body["error"]["message"].as_str().unwrap();
    assert!(told.contains("`default`") && told.contains("of $0.100000 a month"), "{told}");

    let directory = dynode.dir().join("dynode.d");
    fs::create_dir_all(&directory).unwrap();
    let more = "[[budgets]]\ntenant = \"default\"\nper = \"month\"\nusd = 1.0\n";
    fs::write(directory.join("more.new"), more).unwrap();
    fs::rename(directory.join("more.new"), directory.join("more.toml")).unwrap();
    within("a larger budget", async {
        while dynode.post("/v1/chat/completions", &chat()).await.0 != 200 {
            tokio::time::sleep(workers::LOOK_EVERY * 10).await;
        }
    })
    .await;
}

#[tokio::test]
async fn worker_processes_share_a_budget_and_one_that_is_killed_gives_nothing_back() {
    let dynode = workers::launch(&Broker::Managed).file(SETTINGS).start().await;
    workers::until("two workers", || workers::ready(&dynode).len() == 2).await;
    let outcomes = ask_all(&dynode, "r", 30).await;
    let spent = cost(&outcomes);
    assert!((LIMIT / 2.0..=LIMIT).contains(&spent), "{spent}");
    for pid in workers::ready(&dynode).into_values() {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    let outcomes = [outcomes, ask_all(&dynode, "s", 10).await].concat();
    let spent = cost(&outcomes);
    assert!(spent <= LIMIT, "{spent}");
}

#[tokio::test]
async fn what_nobody_does_for_the_most_that_it_may_cost_is_refused_at_the_door() {
    let dynode = Launch::on(&Broker::Memory).file(SETTINGS).start().await;
    let request =
        |most: f64| json!({"action": "chat.completion", "payload": chat(), "route": {"max_cost_usd": most}});
    let (status, refused) = dynode.post("/v1/requests", &request(0.001)).await;
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("invalid_request")), "{refused:#}");
    let told = refused["error"]["message"].as_str().unwrap();
    assert!(told.contains("`paid/paid` is expected to cost 0.015"), "{told}");
    assert_eq!(dynode.post("/v1/requests", &request(0.02)).await.0, 202);
}

#[tokio::test]
async fn the_budget_of_an_organisation_holds_in_worker_processes() {
    let settings = SETTINGS.replace("tenant = \"*\"", "organisation = \"Acme\"");
    let settings = settings + "[tenants.default]\norganisation = \"Acme\"\n";
    let dynode = workers::launch(&Broker::Managed).file(&settings).start().await;
    workers::until("two workers", || workers::ready(&dynode).len() == 2).await;
    let outcomes = ask_all(&dynode, "r", 30).await;
    assert!(cost(&outcomes) <= LIMIT);
    let refused = outcomes.iter().find(|outcome| outcome["status"] == "failed").unwrap();
    let told = refused["error"]["message"].as_str().unwrap();
    assert!(told.contains("the budget of the organisation `Acme`"), "{told}");
}
