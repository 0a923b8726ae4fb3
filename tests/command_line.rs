//! The commands, as typed by a user with a server that runs.

use futures_util::FutureExt;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{Broker, Dynode, run, within};

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
    for command in [&["send", "x"][..], &["watch"]] {
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
