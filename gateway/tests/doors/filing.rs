//! What a door files as work itself, past the classifier.

use broker::{
    Broker,
    memory::{Fault, Rule},
};
use futures_util::{StreamExt, TryStreamExt};
use schemas::{Event, EventBody, Work};
use serde_json::json;

use crate::{
    client::{chat, native},
    rig::{Rig, tenant},
};

/// All work of the tenant that waits.
async fn works(rig: &Rig) -> Vec<Work> {
    let (stream, pattern) = (&rig.topology.work, rig.topology.subjects.work_of(&tenant()));
    let stored: Vec<_> = rig.broker.replay(stream, &pattern, 0).await.unwrap().try_collect().await.unwrap();
    stored.iter().map(|stored| stored.message.format().decode(&stored.message.payload).unwrap()).collect()
}

async fn events(rig: &Rig, id: &str) -> Vec<Event> {
    let stream = &rig.topology.events;
    let told = rig.broker.replay(stream, &rig.event_subject(id), 0).await.unwrap();
    let told: Vec<_> = told.try_collect().await.unwrap();
    told.iter().map(|stored| stored.message.format().decode(&stored.message.payload).unwrap()).collect()
}

#[tokio::test]
async fn a_request_is_filed_as_the_work_that_it_is_and_told_to_wait() {
    let rig = Rig::start().await;
    let accepted = rig.post("/v1/requests", &native("f-1", "filed")).await;
    assert_eq!((accepted.status.as_u16(), accepted.json()), (202, json!({"id": "f-1", "status": "queued"})));
    let works = works(&rig).await;
    assert_eq!((works.len(), works[0].id.as_str()), (1, "f-1"));
    assert!(!works[0].fingerprint.is_empty(), "its sender named the id, and may name it for another request");
    let requests = rig.broker.subjects(&rig.topology.requests, ">").await.unwrap();
    assert_eq!(requests, [], "nothing waits for the classifier");
    rig.until_stored(&rig.event_subject("f-1"), 1).await;
    assert!(matches!(
        events(&rig, "f-1").await[..],
        [Event { attempt: 0, seq: 0, body: EventBody::Queued { .. }, .. }]
    ));
    assert_eq!(rig.get("/v1/requests/f-1").await.json()["status"], "queued");
}

#[tokio::test]
async fn work_under_an_id_that_a_door_made_needs_no_fingerprint() {
    let rig = Rig::start().await;
    let mut body = native("unused", "filed");
    body.as_object_mut().unwrap().remove("id");
    assert_eq!(rig.post("/v1/requests", &body).await.status, 202);
    assert_eq!(works(&rig).await[0].fingerprint, "");
}

#[tokio::test]
async fn a_chat_whose_id_nobody_knows_is_told_to_wait_where_it_does() {
    let rig = Rig::start().await;
    let mut told = rig.broker.subscribe(&rig.topology.subjects.all("evt")).await.unwrap();
    let body = chat("filed");
    tokio::select! {
        _ = rig.post("/v1/chat/completions", &body) => panic!("nobody does the work"),
        told = told.next() => {
            let told = told.unwrap();
            let event: Event = told.format().decode(&told.payload).unwrap();
            assert!(matches!(event.body, EventBody::Queued { .. }), "{event:?}");
        }
    }
}

#[tokio::test]
async fn of_two_gateways_the_second_knows_by_the_work_that_waits_whose_id_it_is() {
    let rig = Rig::start().await;
    let other = Rig::on(rig.broker.clone(), json!({})).await;
    rig.broker.inject(Rule::new(Fault::Lose, "dynode.evt.>")).unwrap();
    assert_eq!(rig.post("/v1/requests", &native("f-2", "filed")).await.status, 202);
    // Nothing was told of it, so that only its work says that it is there.
    let conflict = other.post("/v1/requests", &native("f-2", "filed-otherwise")).await;
    assert_eq!((conflict.status.as_u16(), &conflict.json()["error"]["code"]), (409, &json!("conflict")));
    assert_eq!(other.post("/v1/requests", &native("f-2", "filed")).await.status, 202);
    assert_eq!(works(&rig).await.len(), 1);
}

#[tokio::test]
async fn a_full_queue_of_work_refuses_and_a_lost_ack_is_asked_for_again() {
    let rig = Rig::start().await;
    let full = Rule::new(Fault::Refuse(broker::ErrorKind::Full), "dynode.work.>");
    let full = rig.broker.inject(full).unwrap();
    let refused = rig.post("/v1/requests", &native("f-3", "filed")).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (429, &json!("overloaded")));
    assert_eq!(events(&rig, "f-3").await, [], "what was refused was not told to wait");
    rig.broker.heal(full);
    rig.broker.inject(Rule::new(Fault::LoseAck, "dynode.work.>").times(1)).unwrap();
    assert_eq!(rig.post("/v1/requests", &native("f-3", "filed")).await.status, 202);
    assert_eq!(works(&rig).await.len(), 1);
}
