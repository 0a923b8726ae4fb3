//! `/v1/requests`.

use axum::{
    body::{Body, Bytes},
    http::Request,
};
use broker::{
    Broker, Message, Publication,
    memory::{Fault, Rule},
};
use futures_util::StreamExt;
use schemas::{Format, LaneKind, Priority, fingerprint};
use serde_json::{Value, json};

use crate::{
    client::{native, post},
    rig::{Rig, tenant},
};

#[tokio::test]
async fn work_is_handed_in_and_its_outcome_read() {
    let rig = Rig::start().await;
    let accepted = rig.post("/v1/requests", &native("r-1", "sim-chat")).await;
    assert_eq!(
        (accepted.status, accepted.json()),
        (202.try_into().unwrap(), json!({ "id": "r-1", "status": "queued" }))
    );
    assert_eq!((accepted.header("location"), accepted.header("x-request-id")), ("/v1/requests/r-1", "r-1"));
    rig.until_ended("r-1").await;
    let outcome = rig.get("/v1/requests/r-1").await;
    assert_eq!(outcome.status, 200);
    assert_eq!(outcome.json()["output"]["text"], "Hello, world");
}

#[tokio::test]
async fn what_is_accepted_is_known_at_once() {
    let rig = Rig::start().await;
    rig.post("/v1/requests", &native("r-2", "mute")).await;
    let waiting = rig.get("/v1/requests/r-2").await;
    assert_eq!((waiting.status, &waiting.json()["status"]), (202.try_into().unwrap(), &json!("queued")));
    rig.post("/v1/requests", &native("r-3", "hold")).await;
    rig.until_stored(&rig.event_subject("r-3"), 2).await;
    assert_eq!(rig.get("/v1/requests/r-3").await.json()["status"], "running");
    let unknown = rig.get("/v1/requests/nobody").await;
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (404.try_into().unwrap(), &json!("not_found"))
    );
}

#[tokio::test]
async fn a_request_that_waits_is_known_when_all_that_was_told_of_it_is_forgotten() {
    let rig = Rig::start().await;
    let body = native("r-9", "sim-chat");
    let request: schemas::Request = serde_json::from_value(body.clone()).unwrap();
    let work = json!({
        "id": "r-9", "tenant": "default", "request": body, "plan": {"steps": []}, "format": "json",
        "accepted_at": "2026-01-01T00:00:00Z", "deadline": "2026-01-01T00:01:00Z",
        "fingerprint": fingerprint::of(&request),
    });
    let subject = rig.topology.subjects.work("sim", Priority::Standard, LaneKind::Own, &tenant());
    let message = Message::new(subject, Format::Json, Format::Json.encode(&work).unwrap());
    rig.broker.publish(Publication { message, id: Some("default.r-9".into()) }).await.unwrap();
    assert_eq!(rig.post("/v1/requests", &native("r-9", "another")).await.status, 409);
    assert_eq!(rig.post("/v1/requests", &body).await.status, 202);
    let requests = rig.topology.subjects.requests_of(&tenant());
    let published = rig.broker.replay(&rig.topology.requests, &requests, 0).await.unwrap().count().await;
    assert_eq!(published, 0, "it waits already");
}

#[tokio::test]
async fn messagepack_goes_in_and_comes_out() {
    let rig = Rig::start().await;
    let body = Format::MessagePack.encode(&native("r-4", "sim-chat")).unwrap();
    let request = Request::post("/v1/requests")
        .header("content-type", "application/msgpack")
        .header("accept", "application/msgpack")
        .body(Body::from(body))
        .unwrap();
    let accepted = rig.request(request).await;
    assert_eq!(accepted.header("content-type"), "application/msgpack");
    let value: Value = Format::MessagePack.decode(&accepted.body).unwrap();
    assert_eq!(value["id"], "r-4");
    let broken = Request::post("/v1/requests").header("content-type", "application/msgpack");
    let broken = rig.request(broken.body(Body::from(vec![0xc1, 0xff])).unwrap()).await;
    assert!(broken.json()["error"]["message"].as_str().unwrap().starts_with("invalid MessagePack"));
}

#[tokio::test]
async fn bad_envelopes_are_refused_by_path() {
    let rig = Rig::start().await;
    let with = |field: &str, value: Value| {
        let mut body = native("r-5", "sim-chat");
        body[field] = value;
        body
    };
    let rows = [
        (with("action", json!("dance")), 400, "action"),
        (json!({ "payload": {} }), 400, "action"),
        (with("id", json!("a b")), 400, "id"),
        (with("tenant", json!("a.b")), 400, "tenant"),
        (with("tenant", json!("other")), 403, "tenant"),
        (with("deadline_ms", json!("soon")), 400, "deadline_ms"),
        (with("payload", json!("text")), 400, "payload"),
        (with("payload", json!({ "model": "m", "messages": 1 })), 400, "payload.messages"),
        (with("callback", json!({ "url": "ftp://x" })), 400, "callback.url"),
    ];
    for (body, status, param) in rows {
        let reply = rig.post("/v1/requests", &body).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["error"]["param"]),
            (status, &json!(param)),
            "{body}"
        );
    }
    let form =
        Request::post("/v1/requests").header("content-type", "image/png").body(Body::from("x")).unwrap();
    assert_eq!(rig.request(form).await.json()["error"]["param"], "Content-Type");
}

#[tokio::test]
async fn the_idempotency_key_is_the_id_and_cannot_be_another() {
    let rig = Rig::start().await;
    let send = |id: Value, key: &'static str| {
        let mut body = native("r-8", "sim-chat");
        body["id"] = id;
        let mut request = post("/v1/requests", &body);
        request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        rig.request(request)
    };
    let named = send(Value::Null, "r-8").await;
    assert_eq!((named.status.as_u16(), &named.json()["id"]), (202, &json!("r-8")));
    assert_eq!(send(json!("r-8"), "r-8").await.status, 202, "the same, said twice");
    let other = send(json!("r-8"), "r-9").await;
    assert_eq!((other.status.as_u16(), &other.json()["error"]["param"]), (400, &json!("Idempotency-Key")));
}

#[tokio::test]
async fn a_cancel_is_sent_to_whoever_works_on_it() {
    let rig = Rig::start().await;
    let mut cancels = rig.broker.subscribe("dynode.ctl.>").await.unwrap();
    rig.post("/v1/requests", &native("r-6", "hold")).await;
    let reply = rig.delete("/v1/requests/r-6").await;
    assert_eq!(reply.status, 202);
    assert_eq!(cancels.next().await.unwrap().subject, "dynode.ctl.default.r-6");
    let kept = rig.broker.last(&rig.topology.cancels, "dynode.ctl.default.r-6").await.unwrap();
    assert!(kept.is_some(), "stored before it was answered");
    assert_eq!(rig.delete("/v1/requests/r-6").await.status, 202, "once more is no fault");
    assert_eq!(rig.delete("/v1/requests/nobody").await.status, 404);
    rig.worker.go.notify_one();
    rig.until_ended("r-6").await;
    let ended = rig.delete("/v1/requests/r-6").await;
    assert_eq!((ended.status, &ended.json()["status"]), (200.try_into().unwrap(), &json!("succeeded")));
}

#[tokio::test]
async fn a_cancel_of_what_is_nowhere_to_be_seen_yet_is_stored_and_of_what_is_not_there_refused() {
    let rig = Rig::start().await;
    for (id, beside) in [("in-body", None), ("in-both", Some("default.in-both"))] {
        let mut request = native(id, "hold");
        request["tenant"] = json!("default");
        let payload = Format::Json.encode(&request).unwrap();
        let message = Message::new("dynode.req.default.chat.completion", Format::Json, payload);
        rig.broker.publish(Publication { message, id: beside.map(str::to_owned) }).await.unwrap();
        rig.worker.held().await;
    }
    let work = Message::new("dynode.work.sim.standard.own.default", Format::Json, Bytes::from_static(b"{}"));
    rig.broker.publish(Publication { message: work, id: Some("default.at-work".into()) }).await.unwrap();
    // Of none of these is any event known: they lie in a queue, as after a restart of the broker.
    rig.broker.trim(&rig.topology.events, 100).await.unwrap();
    for id in ["in-body", "in-both", "at-work"] {
        assert_eq!(rig.get(&format!("/v1/requests/{id}")).await.status, 404, "{id}: nothing is known of it");
        let reply = rig.delete(&format!("/v1/requests/{id}")).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["status"]), (202, &json!("cancelling")), "{id}");
        let kept = rig.broker.last(&rig.topology.cancels, &format!("dynode.ctl.default.{id}")).await.unwrap();
        assert!(kept.is_some(), "{id}: stored before it was answered");
    }
    assert_eq!(rig.delete("/v1/requests/nobody").await.status, 404, "it is known that this is not there");
    assert!(rig.broker.last(&rig.topology.cancels, "dynode.ctl.default.nobody").await.unwrap().is_none());
}

#[tokio::test]
async fn where_too_many_wait_to_look_at_each_a_cancel_is_stored() {
    let rig = Rig::start().await;
    for number in 0..300 {
        let message =
            Message::new("dynode.work.sim.standard.own.default", Format::Json, Bytes::from_static(b"{}"));
        rig.broker.publish(Publication { message, id: Some(format!("default.x-{number}")) }).await.unwrap();
    }
    assert_eq!(rig.delete("/v1/requests/anybody").await.status, 202);
}

#[tokio::test]
async fn a_cancel_that_is_not_stored_is_not_promised() {
    let rig = Rig::start().await;
    rig.post("/v1/requests", &native("r-7", "hold")).await;
    rig.broker.inject(Rule::new(Fault::Refuse(broker::ErrorKind::Full), "dynode.ctl.>")).unwrap();
    let refused = rig.delete("/v1/requests/r-7").await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (429, &json!("overloaded")));
}
