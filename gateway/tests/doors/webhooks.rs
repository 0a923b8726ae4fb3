//! Webhooks of providers: who is let in, what is kept for whoever waits, what has no effect.

use axum::{body::Body, http::Request};
use broker::{Broker, Message, Publication, Seams, secrets};
use futures_util::StreamExt;
use schemas::{
    Format, RequestId, Secret, Tenant,
    signature::SigningKey,
    webhook::{Place, TokenKey},
};
use serde_json::{Value, json};

use crate::{
    client::{Reply, post},
    rig::{Rig, WEBHOOK_SECRET},
};

const CANARY: &str = "canary-4711";

fn place(provider: &str) -> Place {
    Place {
        tenant: Tenant::new("acme").unwrap(),
        id: RequestId::new("r").unwrap(),
        attempt: 1,
        call: 7,
        provider: Tenant::new(provider).unwrap(),
    }
}

/// The path of a place, as a worker of this installation makes it.
async fn path(rig: &Rig, place: &Place) -> String {
    let key = secrets::key(&rig.broker, &rig.topology, &Seams::system(), secrets::WEBHOOKS).await.unwrap();
    format!("/v1/webhooks/{}", TokenKey::new(&key).token(place))
}

/// What is kept for whoever waits at `place`.
async fn kept(rig: &Rig, place: &Place) -> Vec<Value> {
    let subject = rig.topology.subjects.webhook(place);
    let stored = rig.broker.replay(&rig.topology.webhooks, &subject, 0).await.unwrap();
    let read = |stored: Result<broker::Stored, broker::Error>| {
        serde_json::from_slice(&stored.unwrap().message.payload).unwrap()
    };
    stored.map(read).collect().await
}

/// A webhook that is signed by `secret` at `seconds`.
fn signed(path: &str, body: &Value, secret: &str, seconds: i64) -> Request<Body> {
    let key = SigningKey::parse(&Secret::new(secret)).unwrap();
    let mut request = post(path, body);
    let signature = key.sign("msg_1", seconds, body.to_string().as_bytes());
    for (name, value) in [
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", &seconds.to_string()),
        ("webhook-signature", &format!("v1,AAAA {signature}")),
    ] {
        request.headers_mut().insert(axum::http::HeaderName::from_static(name), value.parse().unwrap());
    }
    request
}

/// Nothing is told of a forgery but that it is one.
fn is_forged(reply: &Reply) {
    assert_eq!(reply.status, 401, "{}", reply.text());
    assert_eq!(reply.json()["error"]["code"], "unauthorized");
    assert!(!reply.text().contains(CANARY), "{}", reply.text());
}

#[tokio::test]
async fn what_a_provider_tells_is_kept_for_whoever_waits_and_once() {
    let rig = Rig::start().await;
    let (place, body) = (place("plain"), json!({"status": "done"}));
    let path = path(&rig, &place).await;
    for _ in 0..2 {
        let reply = rig.post(&path, &body).await;
        assert_eq!((reply.status.as_u16(), reply.json()), (200, json!({"received": true})));
    }
    assert_eq!(kept(&rig, &place).await, [body]);
    let another = json!({"status": "more"});
    assert_eq!(rig.post(&path, &another).await.status, 200);
    assert_eq!(kept(&rig, &place).await.len(), 2, "what says something else is something else");
}

#[tokio::test]
async fn what_comes_after_the_outcome_is_taken_and_has_no_effect() {
    let rig = Rig::start().await;
    let place = place("plain");
    let subject = rig.topology.subjects.outcome(&place.tenant, &place.id);
    let message = Message::new(subject, Format::Json, "{}".into());
    rig.broker.publish(Publication { message, id: None }).await.unwrap();
    let reply = rig.post(&path(&rig, &place).await, &json!({"status": "done"})).await;
    assert_eq!(reply.status, 200);
    assert!(kept(&rig, &place).await.is_empty());
}

#[tokio::test]
async fn a_token_that_was_not_made_here_is_refused() {
    let rig = Rig::start().await;
    let (place, body) = (place("plain"), json!({"status": CANARY}));
    let path = path(&rig, &place).await;
    let (_, token) = path.rsplit_once('/').unwrap();
    let elsewhere = TokenKey::new(b"another installation").token(&place);
    let changed = format!("{}{}", &token[..token.len() - 1], if token.ends_with('A') { 'B' } else { 'A' });
    for wrong in [elsewhere.as_str(), &changed, &token[1..], "x", &"A".repeat(2_000)] {
        is_forged(&rig.post(&format!("/v1/webhooks/{wrong}"), &body).await);
    }
    assert!(kept(&rig, &place).await.is_empty());
}

#[tokio::test]
async fn where_the_provider_signs_the_signature_counts_as_well() {
    let rig = Rig::start().await;
    let (place, body) = (place("signing"), json!({"status": CANARY}));
    let path = path(&rig, &place).await;
    let now = rig.broker.now().as_second();
    is_forged(&rig.post(&path, &body).await);
    is_forged(&rig.request(signed(&path, &body, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", now)).await);
    for old in [-301, 301] {
        is_forged(&rig.request(signed(&path, &body, WEBHOOK_SECRET, now + old)).await);
    }
    let mut other_body = signed(&path, &body, WEBHOOK_SECRET, now);
    *other_body.body_mut() = Body::from(json!({"status": "forged"}).to_string());
    is_forged(&rig.request(other_body).await);
    assert!(kept(&rig, &place).await.is_empty());
    assert_eq!(rig.request(signed(&path, &body, WEBHOOK_SECRET, now)).await.status, 200);
    assert_eq!(kept(&rig, &place).await, [body]);
}

#[tokio::test]
async fn what_is_too_large_or_no_json_is_refused() {
    let rig = Rig::start().await;
    let place = place("plain");
    let path = path(&rig, &place).await;
    assert_eq!(rig.post(&path, &json!({"logs": "x".repeat(600 << 10)})).await.status, 413);
    let page = Request::post(&path).body(Body::from("<html>")).unwrap();
    assert_eq!(rig.request(page).await.status, 400);
    assert_eq!(rig.get(&path).await.status, 405);
    assert!(kept(&rig, &place).await.is_empty());
}
