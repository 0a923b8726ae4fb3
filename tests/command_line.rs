//! The commands, as typed by a user with a server that runs.

use std::fs;

use futures_util::FutureExt;
use serde_json::{Value, json};
use tempfile::tempdir;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{Broker, Dynode, client, interrupt, python, run, within};

fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

on_each_broker!(send_shows_the_answer, watch_shows_the_events_of_others);

async fn send_shows_the_answer(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    let ended = dynode.run(&["send", "Hello", "there"]).await;
    assert_eq!(ended.succeeded(), "You said: Hello there\n");
    let piped = run(dynode.command(&["send", "--model", "sim-fast"]), "from a pipe\n").await;
    assert_eq!(piped.succeeded(), "You said: from a pipe\n");
    let vector = dynode.run(&["send", "--action", "embedding.query", "Hello"]).await.succeeded();
    assert_eq!(lines(&vector)[0].as_array().unwrap().len(), 256);
    let payload = r#"{"model":"sim-fast","messages":[{"role":"user","content":"whole"}]}"#;
    let whole = run(dynode.command(&["send", "--payload", "-", "--no-stream"]), payload).await;
    assert_eq!(whole.succeeded(), "You said: whole\n");

    let events = lines(&dynode.run(&["send", "--json", "--id", "mine", "Hello"]).await.succeeded());
    assert!(events.iter().all(|event| event["id"] == "mine"), "{events:#?}");
    assert_eq!(events[0]["event"], "queued");
    assert_eq!(events.last().unwrap()["output"]["text"], "You said: Hello");
    let again = dynode.run(&["send", "--id", "mine", "Hello"]).await;
    assert_eq!(again.succeeded(), "You said: Hello\n", "the same request is shown, not run again");
}

#[tokio::test]
async fn send_says_why_there_is_no_answer() {
    let mut dynode = Dynode::start(&Broker::Memory).await;
    let unknown = dynode.run(&["send", "--model", "none", "x"]).await;
    assert!(unknown.failed(1).contains("none"));
    let broken = run(dynode.command(&["send", "--payload", "-"]), "{").await;
    assert!(broken.failed(2).contains("--payload"));
    let nothing = run(dynode.command(&["send"]), "").await;
    assert!(nothing.failed(2).contains("nothing to send"));
    dynode.interrupt();
    dynode.stopped().await;
    for command in [&["send", "x"][..], &["watch"], &["top"]] {
        let gone = dynode.run(command).await.failed(69);
        assert!(gone.contains(&dynode.address().to_string()), "{gone}");
    }
}

async fn watch_shows_the_events_of_others(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    let mut command = dynode.command(&["watch", "--json"]);
    let mut watch = command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut shown = BufReader::new(watch.stdout.take().unwrap()).lines();
    // `watch` shows what happens from when it listens, and does not say when that is: requests are sent until one shows.
    let first = async {
        for number in 0.. {
            let id = format!("w{number}");
            dynode.run(&["send", "--model", "sim-fast", "--id", &id, "Hello"]).await.succeeded();
            if let Some(line) = shown.next_line().now_or_never() {
                return line.unwrap().unwrap();
            }
        }
        unreachable!("without end")
    };
    let first: Value = serde_json::from_str(&within("an event", first).await).unwrap();
    assert!(first["id"].as_str().unwrap().starts_with('w'), "{first}");
    dynode.run(&["send", "--model", "sim-fast", "--id", "whole", "Hello"]).await.succeeded();
    let mut whole = Vec::new();
    while whole.last().is_none_or(|event: &Value| event["event"] != "chat.complete") {
        let line = within("the end", shown.next_line()).await.unwrap().unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["id"] == "whole" {
            whole.push(event);
        }
    }
    let names: Vec<_> = whole.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert!(names.contains(&"running") && names.contains(&"chat.delta"), "{names:?}");
    assert_eq!(whole.last().unwrap()["output"]["text"], "You said: Hello");
}

#[tokio::test]
async fn top_shows_the_pools() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let once = dynode.run(&["top"]).await.succeeded();
    assert!(once.starts_with("broker up, 0 waiting, 0 running\n\npool") && once.contains("\nsim "), "{once}");
    let told = lines(&dynode.run(&["top", "--json", "--count", "2"]).await.succeeded());
    assert_eq!(told.len(), 2);
    let has_sim =
        |status: &Value| status["pools"].as_array().unwrap().iter().any(|pool| pool["pool"] == "sim");
    assert!(told.iter().all(has_sim), "{told:#?}");
}

#[tokio::test]
async fn the_printed_schemas_are_those_of_the_messages() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let schemas = dynode.run(&["schema"]).await.succeeded();
    let payload =
        json!({"model": "sim-fast", "messages": [{"role": "user", "content": "Hello"}], "stream": true});
    let chat = json!({"id": "chat", "action": "chat.completion", "payload": payload});
    let payload = json!({"model": "sim-embed", "input": ["a", "b"]});
    let embedding = json!({"id": "embedding", "action": "embedding.query", "payload": payload});
    let payload = json!({"model": "none", "input": "a"});
    let failing = json!({"id": "failing", "action": "embedding.query", "payload": payload});
    let mut messages = Vec::new();
    for request in [chat, embedding, failing] {
        dynode.post("/v1/requests", &request).await;
        let id = request["id"].as_str().unwrap();
        let events = dynode.events(id, None).await.rest().await;
        let events = events.iter().map(|event| serde_json::from_str(event.data.as_deref().unwrap()).unwrap());
        messages.extend(events.map(|event: Value| ("event", event)));
        let outcome = dynode.outcome(id).await;
        messages.extend(outcome.get("error").map(|error| ("error", error.clone())));
        messages.extend([("request", request), ("outcome", outcome)]);
    }
    let dir = tempdir().unwrap();
    let files = ["schemas.json", "messages.json"].map(|name| dir.path().join(name));
    fs::write(&files[0], schemas).unwrap();
    fs::write(&files[1], serde_json::to_vec(&messages).unwrap()).unwrap();
    python("schema.py", &files.each_ref().map(|file| file.to_str().unwrap())).await;
}

#[tokio::test]
async fn the_servers_outside_of_the_engine_serve_until_ctrl_c() {
    let dynode = Dynode::start(&Broker::Memory).await;
    let servers = [
        ("provider", "/models", "data", "/_sim/calls"),
        ("receiver", "/_sim/deliveries", "entries", "/_sim/deliveries"),
    ];
    for (server, path, key, journal) in servers {
        let mut command = dynode.command(&["chaos", server, "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = within("an address", out.next_line()).await.unwrap().unwrap();
        let urls: Vec<_> = said.split([' ', ',']).filter(|word| word.starts_with("http://")).collect();
        assert!(urls.len() == 2 && urls[1].ends_with(journal), "{said}");
        let answer: Value =
            client().get(format!("{}{path}", urls[0])).send().await.unwrap().json().await.unwrap();
        assert!(answer[key].is_array(), "{answer}");
        interrupt(&child);
        assert!(within("the end", child.wait()).await.unwrap().success());
    }
}

#[tokio::test]
async fn a_provider_file_is_checked_and_tried() {
    let directory = tempdir().unwrap();
    let dynode = Dynode::start(&Broker::Memory).await;
    let shown = dynode.run(&["provider", "check", "ideogram", "--model", "ideogram-v3"]).await.succeeded();
    assert!(shown.contains("> POST https://api.ideogram.ai/v1/ideogram-v3/generate"), "{shown}");
    assert!(shown.contains("> api-key: [redacted]") && shown.contains("> prompt: a red cube"), "{shown}");
    let unknown = dynode.run(&["provider", "check", "ideogram", "--model", "x"]).await.failed(2);
    assert!(unknown.contains("its models are ideogram-v3"), "{unknown}");

    let bad = directory.path().join("bad.toml");
    fs::write(&bad, "[models]\nm = { call = \"x\" }\n[calls]\n").unwrap();
    let refused = dynode.run(&["provider", "check", bad.to_str().unwrap()]).await.failed(64);
    assert!(refused.contains("bad.toml:2:"), "{refused}");

    let provider = chaos::provider::Provider::bind(chaos::provider::Config::default()).await.unwrap();
    let against = format!("http://{}/ideogram", provider.local_addr());
    let serving = tokio::spawn(provider.serve(std::future::pending()));
    let line = ["provider", "check", "ideogram", "--against", &against, "--payload", r#"{"prompt":"a cat"}"#];
    let mut command = dynode.command(&line);
    command.env_remove("IDEOGRAM_API_KEY");
    let keyless = run(command, "").await.failed(64);
    assert!(keyless.contains("`IDEOGRAM_API_KEY` is not set"), "{keyless}");
    let mut command = dynode.command(&line);
    command.env("IDEOGRAM_API_KEY", "k-canary-0123");
    let came = run(command, "").await.succeeded();
    assert!(came.contains("< file 0: image/png") && came.contains("\"images\":1"), "{came}");
    assert!(!came.contains("canary"), "{came}");
    serving.abort();
}
