//! Events as SSE, and the two promises behind them: nothing is missing, and everything ends.

use axum::{body::Body, http::Request};
use broker::memory::{Fault, Rule};
use schemas::{EventHead, Format};
use serde_json::json;

use crate::{
    client::{Reply, native},
    rig::Rig,
    worker::{Job, whole},
};

fn ids(reply: &Reply) -> Vec<&str> {
    reply.text().lines().filter_map(|line| line.strip_prefix("id: ")).collect()
}

#[tokio::test]
async fn events_have_resumable_ids_and_end_with_the_request() {
    let rig = Rig::start().await;
    rig.post("/v1/requests", &native("e-1", "sim-chat")).await;
    let all = rig.get("/v1/requests/e-1/events").await;
    assert_eq!(ids(&all), ["0-0", "1-0", "1-1", "1-2", "1-3", "1-4"]);
    assert!(all.text().contains("event: chat.delta\ndata: {\"id\":\"e-1\","), "{}", all.text());
    let request = Request::get("/v1/requests/e-1/events").header("last-event-id", "1-2");
    let rest = rig.request(request.body(Body::empty()).unwrap()).await;
    assert_eq!(ids(&rest), ["1-3", "1-4"]);
    assert_eq!(ids(&rig.get("/v1/requests/e-1/events?after=1-2").await), ["1-3", "1-4"]);
    assert_eq!(rig.get("/v1/requests/e-1/events?after=x").await.status, 400);
    assert_eq!(rig.get("/v1/requests/nobody/events").await.status, 404);
}

#[tokio::test]
async fn an_event_that_the_subscription_lost_is_read_from_the_stream() {
    let rig = Rig::start().await;
    let third = |message: &broker::Message| {
        let head = message.format().decode::<EventHead>(&message.payload).unwrap();
        (head.attempt, head.seq) == (1, 2)
    };
    let rule = rig.broker.inject(Rule::new(Fault::Drop, "dynode.evt.>").when(third).times(1)).unwrap();
    let reply = rig.post("/v1/chat/completions", &crate::client::streamed("sim-chat")).await;
    assert_eq!(rig.broker.fired(rule), 1, "the fault must have struck");
    let chunks = reply.data();
    let content: Vec<_> =
        chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(content, ["", "Hello", ", ", "world"]);
}

#[tokio::test]
async fn an_event_that_is_nowhere_is_told_as_a_gap() {
    let rig = Rig::start().await;
    rig.post("/v1/requests", &native("e-2", "script")).await;
    let job = Job::of(&rig, "e-2", Format::Json);
    rig.until_stored(&rig.event_subject("e-2"), 1).await;
    job.running(1).await;
    job.delta(1, 2, "lo").await;
    job.end(1, 3, Ok(whole())).await;
    let reply = rig.get("/v1/requests/e-2/events").await;
    let gap = reply.data().into_iter().find(|event| event["event"] == "gap").unwrap();
    assert_eq!((&gap["from"], &gap["to"]), (&json!(0), &json!(2)));
    assert_eq!(ids(&reply), ["0-0", "1-0", "1-1", "1-2", "1-3"], "the gap stands where the lost event would");
}

#[tokio::test]
async fn frames_of_an_older_attempt_are_void() {
    let rig = Rig::start().await;
    rig.post("/v1/requests", &native("e-3", "script")).await;
    let job = Job::of(&rig, "e-3", Format::Json);
    rig.until_stored(&rig.event_subject("e-3"), 1).await;
    job.running(1).await;
    job.delta(1, 1, "Hel").await;
    job.running(2).await;
    job.delta(1, 2, "a zombie").await;
    job.answer(2).await;
    let reply = rig.get("/v1/requests/e-3/events").await;
    assert_eq!(ids(&reply), ["0-0", "1-0", "1-1", "1-2", "2-0", "2-1", "2-2", "2-3", "2-4"]);
    assert!(reply.text().contains("id: 1-2\nevent: restarted\n"), "{}", reply.text());
    assert!(!reply.text().contains("zombie"));
}

#[tokio::test]
async fn an_end_that_nobody_told_is_read_from_the_outcome() {
    let rig = Rig::start().await;
    rig.post("/v1/requests", &native("e-4", "script")).await;
    let job = Job::of(&rig, "e-4", Format::Json);
    rig.until_stored(&rig.event_subject("e-4"), 1).await;
    job.running(1).await;
    job.record(1, 1, Ok(whole())).await;
    let reply = rig.get("/v1/requests/e-4/events").await;
    assert_eq!(ids(&reply), ["0-0", "1-0", "1-1"]);
    assert_eq!(reply.data().last().unwrap()["output"]["text"], "Hello, world");
}

#[tokio::test]
async fn everything_can_be_watched() {
    let rig = Rig::start().await;
    let mut watch = rig.open(Request::get("/v1/events").body(Body::empty()).unwrap()).await;
    rig.post("/v1/requests", &native("e-5", "sim-chat")).await;
    let seen = watch.read_until("event: chat.complete").await;
    assert_eq!(seen.matches("event: chat.delta").count(), 3, "{seen}");
}
