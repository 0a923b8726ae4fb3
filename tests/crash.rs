//! The promise: what was accepted ends in one outcome, even when the process is killed in the middle.

use std::process::Stdio;

use broker::testing::Server;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::ChildStdout,
};

use crate::support::{Broker, Dynode, Launch, within};

/// Long enough, at the pace of `sim-chat`, to be killed in the middle.
const QUESTION: &str = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen \
                        sixteen seventeen eighteen nineteen twenty and as many again to be sure that there is a middle";

#[tokio::test]
async fn after_a_kill_on_a_managed_server_the_work_is_finished() {
    work_outlives_the_process(Broker::Managed).await;
}

#[tokio::test]
async fn after_a_kill_on_a_server_elsewhere_the_work_is_finished() {
    let server = Server::start().await;
    work_outlives_the_process(Broker::Servers(server.url())).await;
}

async fn work_outlives_the_process(broker: Broker) {
    let launch = Launch::on(&broker).variable("DYNODE_ENGINE__LEASE_MS", "3000");
    let mut dynode = launch.start().await;
    let payload =
        json!({"model": "sim-chat", "messages": [{"role": "user", "content": QUESTION}], "stream": true});
    let unattended = json!({"id": "unattended", "action": "chat.completion", "payload": payload});
    let (status, accepted) = dynode.post("/v1/requests", &unattended).await;
    assert_eq!(status, 202, "{accepted}");
    let mut plain =
        dynode.command(&["send", QUESTION]).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut watched = dynode.command(&["send", "--json", "--id", "watched", QUESTION]);
    let mut watched = watched.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut events = BufReader::new(watched.stdout.take().unwrap()).lines();
    let mut before = Vec::new();
    while before.iter().filter(|event: &&Value| event["event"] == "chat.delta").count() < 5 {
        before.push(next(&mut events).await.expect("a delta"));
    }

    dynode.kill().await;
    dynode.restart().await;

    let mut after = Vec::new();
    while let Some(event) = next(&mut events).await {
        after.push(event);
    }
    check_watched(&before, &after);
    assert!(within("the end of send", watched.wait()).await.unwrap().success());
    let mut shown = String::new();
    within("all of send", plain.stdout.take().unwrap().read_to_string(&mut shown)).await.unwrap();
    assert!(shown.ends_with(&format!("You said: {QUESTION}\n")), "{shown}");
    assert!(within("the end of send", plain.wait()).await.unwrap().success());
    check_outcome(&dynode, "unattended").await;
    check_outcome(&dynode, "watched").await;
}

#[tokio::test]
async fn send_sends_again_what_a_memory_broker_has_forgotten() {
    // Nothing comes back here for which a client would have to be kept waiting.
    let launch = Launch::on(&Broker::Memory).variable("DYNODE_GATEWAY__RESUME_WAIT_MS", "50");
    let mut dynode = launch.start().await;
    let mut sent = dynode.command(&["send", "--json", QUESTION]);
    let mut sent = sent.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut events = BufReader::new(sent.stdout.take().unwrap()).lines();
    while next(&mut events).await.expect("a delta")["event"] != "chat.delta" {}
    dynode.kill().await;
    dynode.restart().await;
    let mut last = Value::Null;
    while let Some(event) = next(&mut events).await {
        last = event;
    }
    assert_eq!(last["output"]["text"], format!("You said: {QUESTION}"), "{last:#}");
    assert!(within("the end of send", sent.wait()).await.unwrap().success());
}

#[tokio::test]
async fn the_death_of_a_managed_server_in_the_middle_is_got_over() {
    let launch = Launch::on(&Broker::Managed).variable("DYNODE_ENGINE__LEASE_MS", "3000");
    let dynode = launch.start().await;
    let mut sent = dynode.command(&["send", "--json", "--id", "steady", QUESTION]);
    let mut sent = sent.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut events = BufReader::new(sent.stdout.take().unwrap()).lines();
    while next(&mut events).await.expect("a delta")["event"] != "chat.delta" {}
    dynode.kill_server();
    let mut last = Value::Null;
    while let Some(event) = next(&mut events).await {
        last = event;
    }
    assert_eq!(last["output"]["text"], format!("You said: {QUESTION}"), "{last:#}");
    assert!(within("the end of send", sent.wait()).await.unwrap().success());
    let outcome = dynode.outcome("steady").await;
    assert_eq!(outcome["status"], "succeeded", "{outcome:#}");
}

async fn next(events: &mut Lines<BufReader<ChildStdout>>) -> Option<Value> {
    let line = within("an event", events.next_line()).await.unwrap()?;
    Some(serde_json::from_str(&line).unwrap())
}

/// The client is told that what it had is void, and then gets all of it, in order.
fn check_watched(before: &[Value], after: &[Value]) {
    let place = |event: &Value| (event["attempt"].as_u64().unwrap(), event["seq"].as_u64().unwrap());
    for events in [before, after] {
        let places: Vec<_> = events.iter().map(place).collect();
        assert!(places.is_sorted_by(|one, next| one < next), "{places:?}");
    }
    let seen = place(before.last().unwrap());
    // A server that was restarted as well has forgotten the events, and tells of the request from its start.
    assert!(after.iter().all(|event| place(event) > seen || event["event"] == "queued"), "{after:#?}");
    let restarted = after.iter().position(|event| event["event"] == "restarted");
    let again = &after[restarted.unwrap_or_else(|| panic!("no restart: {after:#?}"))..];
    let text: String = again.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(text, format!("You said: {QUESTION}"));
    assert_eq!(after.last().unwrap()["event"], "chat.complete");
    assert_eq!(after.last().unwrap()["output"]["text"], text);
}

async fn check_outcome(dynode: &Dynode, id: &str) {
    let outcome = dynode.outcome(id).await;
    assert_eq!(outcome["status"], "succeeded", "{outcome:#}");
    assert_eq!(outcome["output"]["text"], format!("You said: {QUESTION}"));
    assert!(outcome["ended"][0].as_u64().unwrap() > 1, "a later attempt: {outcome:#}");
}
