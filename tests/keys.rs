//! API keys from nothing: the first in one command, what it opens, what others may do, and that a revoked one is good at no
//! gateway, nor what goes on by it.

use std::fs;

use broker::testing::Server;
use serde_json::{Value, json};

use crate::{
    support::{Broker, Dynode, Ended, Events, Launch, client, node, program, python, run, within},
    workers::LOOK_EVERY,
};

on_each_broker!(
    a_stranger_gets_from_nothing_to_a_key_and_an_answer,
    the_sdk_tells_each_refusal_by_its_class,
    every_sdk_tells_each_error_by_its_class,
    what_was_spent_by_a_key_is_told_and_its_budget_holds,
);

/// A provider that is not simulated, and that nobody must reach.
const PAID: &str = r#"
[providers.paid]
kind = "openai_compatible"
base_url = "http://127.0.0.1:9/v1"
models.paid = {}
"#;

impl Dynode {
    /// One of its commands with a key.
    async fn run_by(&self, key: &str, arguments: &[&str]) -> Ended {
        let mut command = self.command(arguments);
        command.env("DYNODE_API_KEY", key);
        run(command, "").await
    }

    /// A new key.
    async fn key(&self, by: &str, flags: &[&str]) -> String {
        let made = self.run_by(by, &[&["key", "create"], flags].concat()).await.succeeded();
        made.trim().to_owned()
    }

    async fn status_by(&self, key: &str, path: &str) -> u16 {
        let asked = client().get(self.url() + path).bearer_auth(key).send();
        within("an answer", asked).await.unwrap().status().as_u16()
    }
}

fn id_of(key: &str) -> &str {
    key.split('_').nth(2).unwrap()
}

async fn a_stranger_gets_from_nothing_to_a_key_and_an_answer(broker: Broker) {
    let mut dynode = Dynode::start(&broker).await;
    assert!(dynode.banner().iter().any(|line| line.contains("keys       none: only this machine")));
    let key = dynode.run(&["key", "create", "--name", "laptop"]).await;
    assert!(key.err.contains("shown once"), "{key:#?}");
    let key = key.succeeded().trim().to_owned();
    assert!(key.starts_with("dyn_live_") && !key.contains('\n'), "{key}");

    let refused = dynode.run(&["send", "hello"]).await.failed(1);
    assert!(refused.contains("401") && refused.contains("DYNODE_API_KEY"), "{refused}");
    let refused = dynode.run(&["cost"]).await.failed(1);
    assert!(refused.contains("an API key is needed"), "{refused}");
    for (arguments, said) in [
        (&["send", "--model", "sim-fast", "hello"][..], "You said: hello"),
        (&["estimate", "hello"], "sim/sim-chat"),
        (&["cost"], "total"),
        (&["dead", "list"], ""),
        (&["key", "list"], "laptop"),
    ] {
        let out = dynode.run_by(&key, arguments).await.succeeded();
        assert!(out.contains(said), "{arguments:?}: {out}");
    }

    let second = dynode.key(&key, &["--tenant", "acme", "--role", "admin"]).await;
    let heir = dynode.run_by(&key, &["key", "rotate", id_of(&second), "--grace", "0s"]).await.succeeded();
    assert_eq!(dynode.status_by(&second, "/v1/models").await, 401);
    assert_eq!(dynode.status_by(heir.trim(), "/v1/models").await, 200);
    let revoked = dynode.run_by(&key, &["key", "revoke", id_of(heir.trim())]).await.succeeded();
    assert!(revoked.contains("revoked"), "{revoked}");
    assert_eq!(dynode.status_by(heir.trim(), "/v1/models").await, 401);

    let wanted: Vec<_> = [&key, &second].into_iter().map(|key| key[20..].to_owned()).collect();
    let log = dynode.log();
    assert!(wanted.iter().all(|secret| !log.contains(secret)), "a key stands in the log: {log}");
    if matches!(broker, Broker::Managed) {
        dynode.interrupt();
        assert_eq!(dynode.stopped().await, Some(0));
        dynode.restart().await;
        assert_eq!(dynode.status_by(&key, "/v1/models").await, 200, "it is kept");
        assert_eq!(dynode.status_by("", "/v1/models").await, 401);
        assert!(dynode.banner().iter().any(|line| line.contains("keys       needed")));
    }
}

async fn the_sdk_tells_each_refusal_by_its_class(broker: Broker) {
    let dynode = Launch::on(&broker).file(PAID).start().await;
    let root = dynode.key("", &[]).await;
    let narrow = dynode.key(&root, &["--models", "sim-f*"]).await;
    let slow = dynode.key(&root, &["--requests-per-minute", "1"]).await;
    let test = dynode.key(&root, &["--test"]).await;
    python("keys.py", &[&dynode.url(), &root, &narrow, &slow, &test]).await;
}

async fn every_sdk_tells_each_error_by_its_class(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    let root = dynode.key("", &[]).await;
    let narrow = dynode.key(&root, &["--models", "sim-f*"]).await;
    let busy = dynode.key(&root, &["--concurrency", "1"]).await;
    for sdk in ["openai", "anthropic"] {
        let arguments = [sdk, &dynode.url(), &root, &narrow, &busy];
        python("sdk_errors.py", &arguments).await;
        node("sdk_errors.mjs", &arguments).await;
    }
}

async fn what_was_spent_by_a_key_is_told_and_its_budget_holds(broker: Broker) {
    let settings = "[providers.dear]\nkind = \"simulated\"\n[providers.dear.models.dear]\nprice = { input = 1000, output = 1000 }\n\
                    [tenants.acme]\norganisation = \"Acme\"\nproject = \"search\"\n";
    let dynode = Launch::on(&broker).file(settings).start().await;
    let root = dynode.key("", &[]).await;
    let poor = dynode.key(&root, &["--tenant", "acme", "--budget", "0.05/month"]).await;
    let rich = dynode.key(&root, &["--tenant", "acme"]).await;
    let ask = async |key: &str| {
        let body = json!({"model": "dear", "max_tokens": 10, "messages": [{"role": "user", "content": "one two three"}]});
        let asked = client().post(dynode.url() + "/v1/chat/completions").bearer_auth(key).json(&body).send();
        let answer = within("an answer", asked).await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let mut answered = 0;
    let refusal = loop {
        match ask(&poor).await {
            (200, _) => answered += 1,
            refused => break refused,
        }
        assert!(answered < 20, "its budget does not hold");
    };
    assert_eq!((refusal.0, &refusal.1["error"]["code"]), (429, &json!("budget_exceeded")));
    let why = refusal.1["error"]["message"].as_str().unwrap();
    assert!(answered > 0 && why.contains(&format!("the API key `{}`", id_of(&poor))), "{why}");
    assert_eq!(ask(&rich).await.0, 200, "another key of its tenant");

    let sums = dynode.run_by(&root, &["cost", "--by", "organisation,project,key", "--json"]);
    let sums: Value = serde_json::from_str(&sums.await.succeeded()).unwrap();
    let rows = sums["data"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["organisation"] == "Acme" && row["project"] == "search"), "{sums:#}");
    let of =
        |key: &str| rows.iter().find(|row| row["key"] == id_of(key)).unwrap_or_else(|| panic!("{sums:#}"));
    assert_eq!((of(&poor)["requests"].as_u64(), of(&rich)["requests"].as_u64()), (Some(answered), Some(1)));
    assert!(of(&poor)["cost_usd"].as_f64().unwrap() <= 0.05, "{sums:#}");
}

#[tokio::test]
async fn a_key_that_is_revoked_is_good_at_no_gateway_nor_what_goes_on_by_it() {
    let server = Server::start().await;
    let broker = Broker::Servers(server.url());
    let one = Dynode::start(&broker).await;
    let root = one.key("", &[]).await;
    let user = one.key(&root, &["--tenant", "acme"]).await;
    let two = Dynode::start(&broker).await;
    assert_eq!((two.status_by(&user, "/v1/models").await, two.status_by("", "/v1/models").await), (200, 401));

    let watched = Events::of(client().get(two.url() + "/v1/events").bearer_auth(&user)).await;
    one.run_by(&root, &["key", "revoke", id_of(&user)]).await.succeeded();
    assert_eq!(one.status_by(&user, "/v1/models").await, 401, "at once where it was asked for");
    within("the other gateway", async {
        while two.status_by(&user, "/v1/models").await != 401 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
    let last = within("the end of the stream", watched.rest()).await.pop().unwrap();
    assert!(last.data.unwrap().contains("was revoked"));
}

#[tokio::test]
async fn other_machines_are_let_in_with_keys_or_where_it_is_said() {
    let refused = Launch::on(&Broker::Memory).listen("0.0.0.0:0").refused().await.failed(64);
    for mend in ["dynode key create", "--offline", "--without-keys"] {
        assert!(refused.contains(mend), "{refused}");
    }
    let open = Launch::on(&Broker::Memory).flags(["--without-keys"]).listen("0.0.0.0:0").start().await;
    assert!(open.banner().iter().any(|line| line.contains("keys       NONE")), "{:?}", open.banner());
    assert_eq!(open.status_by("", "/v1/models").await, 200);

    let launch = Launch::on(&Broker::Memory).listen("0.0.0.0:0");
    let mut offline = program(launch.dir());
    offline.args(["key", "create", "--offline", "--tenant", "acme", "--role", "admin"]);
    let made = run(offline, "").await;
    let key = made.err.lines().find(|line| line.starts_with("dyn_live_")).unwrap().to_owned();
    let section = made.succeeded();
    assert!(!section.contains(&key[20..]), "{section}");
    fs::write(launch.dir().join("dynode.toml"), section).unwrap();
    let keyed = launch.start().await;
    assert_eq!(
        (keyed.status_by(&key, "/v1/models").await, keyed.status_by("", "/v1/models").await),
        (200, 401)
    );
    fs::write(keyed.dir().join("dynode.toml"), "").unwrap();
    within("the key to be gone", async {
        while keyed.status_by(&key, "/v1/models").await != 401 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
    assert_eq!(keyed.status_by("", "/v1/models").await, 401, "nobody is let in for that");
}
