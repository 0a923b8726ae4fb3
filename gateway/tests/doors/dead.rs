//! `/v1/dead`.

use axum::{body::Body, http::Request};
use broker::{
    Broker, Message, Publication,
    memory::{Fault, Rule},
};
use futures_util::StreamExt;
use jiff::Timestamp;
use schemas::{DeadLetter, Error, ErrorCode, Format, Outcome, RequestId, Tenant, Work};
use serde_json::{Value, json};

use crate::{
    client::{Reply, native},
    rig::{Rig, tenant},
};

impl Rig {
    /// Parks `body` as the engine does; returns the sequence of the letter.
    async fn park(&self, at: &str, subject: &str, format: Format, body: &impl serde::Serialize) -> u64 {
        let stage = at.split('.').next().unwrap().to_owned();
        let letter = DeadLetter {
            v: 1,
            stage,
            subject: subject.into(),
            content_type: Some(format.content_type().into()),
            body: format.encode(body).unwrap(),
            missing_bytes: 0,
            reason: Error::new(ErrorCode::Stalled, "it ended its worker"),
            deliveries: 4,
            parked_at: Timestamp::UNIX_EPOCH,
        };
        let payload = Format::MessagePack.encode(&letter).unwrap();
        let message = Message::new(format!("dynode.dead.{at}"), Format::MessagePack, payload);
        self.broker.publish(Publication { message, id: None }).await.unwrap().sequence
    }

    async fn replay(&self, sequence: u64, how: &str) -> Reply {
        let request = Request::post(format!("/v1/dead/{sequence}/replay{how}")).body(Body::empty());
        self.request(request.unwrap()).await
    }

    async fn parked(&self, query: &str) -> Vec<u64> {
        let page = self.get(&format!("/v1/dead{query}")).await.json();
        let letters = page["letters"].as_array().unwrap_or_else(|| panic!("{page}"));
        letters.iter().map(|letter| letter["sequence"].as_u64().unwrap()).collect()
    }

    async fn stored_outcome(&self, id: &str) -> Outcome {
        self.until_ended(id).await;
        let subject = self.topology.subjects.outcome(&tenant(), &RequestId::new(id).unwrap());
        let stored = self.broker.last(&self.topology.outcomes, &subject).await.unwrap().unwrap();
        stored.message.format().decode(&stored.message.payload).unwrap()
    }
}

const REQUESTS: &str = "dynode.req.default.chat.completion";

/// A request as it lies on the bus.
fn request(id: &str) -> Value {
    let mut request = native(id, "sim-chat");
    request["tenant"] = json!("default");
    request
}

#[tokio::test]
async fn a_tenant_sees_its_own_letters_and_those_of_nobody() {
    let rig = Rig::start().await;
    let nothing = json!({});
    let park = |at, subject| rig.park(at, subject, Format::Json, &nothing);
    let first = park("classifier.default.a", REQUESTS).await;
    let other = park("classifier.other.b", "dynode.req.other.auto").await;
    let second = park("delivery.default.c", "dynode.cb.default.c").await;
    let nobody = park("classifier.unknown.m1", "dynode.req.a$b.auto").await;
    assert_eq!(rig.parked("").await, [first, second, nobody]);
    assert_eq!(rig.parked("?stage=delivery").await, [second]);
    assert_eq!(rig.parked(&format!("?after={first}&limit=1")).await, [second]);
    let page = rig.get("/v1/dead?limit=1").await.json();
    assert_eq!((&page["next"], &page["letters"][0]["code"]), (&json!(first), &json!("stalled")));
    assert_eq!(rig.get("/v1/dead?limit=3").await.json()["next"], Value::Null);

    for (path, status) in [(format!("/v1/dead/{other}"), 404), ("/v1/dead/x".into(), 400)] {
        assert_eq!(rig.get(&path).await.status.as_u16(), status, "{path}");
    }
    for query in ["?stage=*", "?limit=many"] {
        assert_eq!(rig.get(&format!("/v1/dead{query}")).await.status.as_u16(), 400, "{query}");
    }
    assert_eq!(rig.delete(&format!("/v1/dead/{other}")).await.status, 404);
    assert_eq!(rig.replay(other, "").await.status, 404);
}

#[tokio::test]
async fn a_letter_is_shown_whole_and_dropped() {
    let rig = Rig::start().await;
    let body = json!({"id": "a", "callback": {"url": "https://x", "secret": "whsec_canary"}});
    let sequence = rig.park("classifier.default.a", REQUESTS, Format::MessagePack, &body).await;
    let reply = rig.get(&format!("/v1/dead/{sequence}")).await;
    let shown = reply.json();
    assert_eq!((&shown["subject"], &shown["deliveries"]), (&json!(REQUESTS), &json!(4)));
    assert_eq!(
        (&shown["body"]["format"], &shown["body"]["content"]["id"]),
        (&json!("messagepack"), &json!("a"))
    );
    assert!(!reply.text().contains("canary"), "{}", reply.text());
    assert_eq!(rig.delete(&format!("/v1/dead/{sequence}")).await.status, 200);
    assert_eq!(rig.delete(&format!("/v1/dead/{sequence}")).await.status, 404);
    assert!(rig.parked("").await.is_empty());
}

#[tokio::test]
async fn a_callback_is_published_again_although_the_broker_knows_its_first() {
    let rig = Rig::start().await;
    let (subject, job) = ("dynode.cb.default.c", json!({"job": 1}));
    let message = Message::new(subject, Format::Json, Format::Json.encode(&job).unwrap());
    let id = Some("default.c".to_owned());
    rig.broker.publish(Publication { message: message.clone(), id }).await.unwrap();
    let sequence = rig.park("delivery.default.c", subject, Format::Json, &job).await;
    let replayed = rig.replay(sequence, "").await.json();
    assert_eq!((&replayed["subject"], &replayed["fresh"]), (&json!(subject), &json!(false)), "{replayed}");
    let stored = rig.broker.replay(&rig.topology.callbacks, subject, 0).await.unwrap();
    let bodies: Vec<_> = stored.map(|stored| stored.unwrap().message.payload).collect().await;
    assert_eq!(bodies, [message.payload.clone(), message.payload]);
    assert!(rig.parked("").await.is_empty());
}

#[tokio::test]
async fn a_letter_stays_until_its_replay_is_stored() {
    let rig = Rig::start().await;
    let sequence = rig.park("delivery.default.c", "dynode.cb.default.c", Format::Json, &json!({})).await;
    let full = rig.broker.inject(Rule::new(Fault::Refuse(broker::ErrorKind::Full), "dynode.cb.>")).unwrap();
    assert_eq!(rig.replay(sequence, "").await.status, 429);
    assert_eq!(rig.parked("").await, [sequence]);
    rig.broker.heal(full);
    assert_eq!(rig.replay(sequence, "").await.status, 200);
    assert!(rig.parked("").await.is_empty());
}

#[tokio::test]
async fn a_request_without_an_outcome_runs_under_its_own_id() {
    let rig = Rig::start().await;
    let mut nameless = request("a");
    nameless.as_object_mut().unwrap().remove("id");
    let sequence = rig.park("classifier.default.a", REQUESTS, Format::MessagePack, &nameless).await;
    let replayed = rig.replay(sequence, "").await.json();
    assert_eq!((&replayed["id"], &replayed["fresh"]), (&json!("a"), &json!(false)), "{replayed}");
    assert_eq!(rig.stored_outcome("a").await.id.as_str(), "a");
}

#[tokio::test]
async fn a_request_with_an_outcome_runs_under_a_new_id_and_the_outcome_stands() {
    let rig = Rig::start().await;
    rig.post("/v1/requests", &native("a", "broken")).await;
    let first = rig.stored_outcome("a").await;
    let work: Work = serde_json::from_value(json!({
        "id": "a", "tenant": "default", "request": request("a"), "plan": {"steps": []},
        "accepted_at": "1970-01-01T00:00:00Z", "deadline": "1970-01-01T00:01:00Z",
        "format": "json", "fingerprint": "",
    }))
    .unwrap();
    let of_request = rig.park("classifier.default.a", REQUESTS, Format::Json, &request("a")).await;
    let of_work =
        rig.park("sim.default.a", "dynode.work.sim.standard.own.default", Format::MessagePack, &work).await;
    let mut ids = vec!["a".to_owned()];
    for sequence in [of_request, of_work] {
        let replayed = rig.replay(sequence, "").await.json();
        let id = replayed["id"].as_str().unwrap().to_owned();
        assert_eq!(
            (&replayed["subject"], &replayed["fresh"]),
            (&json!(REQUESTS), &json!(true)),
            "{replayed}"
        );
        assert_eq!(rig.stored_outcome(&id).await.status, schemas::Status::Succeeded);
        assert!(!ids.contains(&id), "{ids:?}");
        ids.push(id);
    }
    assert_eq!(rig.stored_outcome("a").await, first);
    assert!(rig.parked("").await.is_empty());
}

#[tokio::test]
async fn a_new_id_can_be_asked_for_and_a_foreign_subject_takes_no_replay() {
    let rig = Rig::start().await;
    let sequence = rig.park("classifier.default.a", REQUESTS, Format::Json, &request("a")).await;
    let replayed = rig.replay(sequence, "?new_id=true").await.json();
    assert_eq!(replayed["fresh"], json!(true), "{replayed}");
    let other = rig.topology.subjects.request(&Tenant::new("other").unwrap(), schemas::Action::Auto);
    for (subject, status) in [(other.as_str(), 403), ("dynode.res.default.a", 400), ("", 400)] {
        let sequence = rig.park("classifier.default.a", subject, Format::Json, &request("a")).await;
        assert_eq!(rig.replay(sequence, "").await.status.as_u16(), status, "{subject}");
    }
}
