//! What one key, and one tenant, may ask for: each refusal says which limit was met, and when to return.

use std::collections::BTreeMap;

use broker::{Broker, Limits, Topology, memory::Memory};
use gateway::{Access, LimitConfig, TenantConfig, Tenants};
use schemas::{Subjects, Tenant};
use serde_json::{Value, json};

use crate::{
    client::{Reply, chat, native},
    rig::{PATIENCE, Rig},
};

/// The second that has begun counts whole, and a tenth more spreads out who returns.
const MINUTE_AND_SPREAD_MS: u64 = 61_000 + 6_100;

/// Refused for `limit`, with a time to return.
#[track_caller]
fn is_met(reply: &Reply, limit: &str) -> u64 {
    let body = reply.json();
    assert_eq!((reply.status.as_u16(), &body["error"]["code"]), (429, &json!("rate_limited")), "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains(limit), "{body}");
    reply.header("retry-after-ms").parse().unwrap()
}

#[tokio::test]
async fn requests_of_a_key_are_counted_at_every_door_and_repeats_are_not() {
    let rig = Rig::start().await;
    let (root, _) = rig.make("", json!({})).await;
    let (key, id) = rig.make(&root, json!({"requests_per_minute": 3})).await;
    for request in ["a", "a", "a", "b"] {
        assert_eq!(rig.post_by(&key, "/v1/requests", &native(request, "sim-chat")).await.status, 202);
    }
    assert_eq!(rig.post_by(&key, "/v1/chat/completions", &chat("sim-chat")).await.status, 200);
    let refused = rig.post_by(&key, "/v1/chat/completions", &chat("sim-chat")).await;
    let wait = is_met(&refused, &format!("the API key `{id}` has met its limit of 3 requests per minute"));
    assert!((1..=MINUTE_AND_SPREAD_MS).contains(&wait), "{wait}");
    let mut socket = rig.socket_by(&key).await.unwrap();
    socket.say(native("c", "sim-chat")).await;
    let frame = socket.hear().await;
    assert_eq!(frame["error"]["code"], "rate_limited", "{frame}");
    assert!(frame["error"]["retry_after_ms"].as_u64().unwrap() > 0);
    let (other, _) = rig.make(&root, json!({})).await;
    assert_eq!(rig.post_by(&other, "/v1/chat/completions", &chat("sim-chat")).await.status, 200);
}

#[tokio::test]
async fn as_many_requests_of_a_key_are_open_at_once_as_may_be() {
    let rig = Rig::start().await;
    let (root, _) = rig.make("", json!({})).await;
    let (key, _) = rig.make(&root, json!({"concurrency": 1})).await;
    let mut socket = rig.socket_by(&key).await.unwrap();
    socket.say(native("a", "hold")).await;
    rig.worker.held().await;
    is_met(&rig.post_by(&key, "/v1/chat/completions", &chat("sim-chat")).await, "concurrency");
    rig.worker.go.notify_one();
    while socket.hear().await["event"] != "chat.complete" {}
    let asked =
        async { while rig.post_by(&key, "/v1/chat/completions", &chat("sim-chat")).await.status != 200 {} };
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
}

#[tokio::test]
async fn tokens_are_taken_first_and_what_was_not_used_comes_back() {
    let rig = Rig::start().await;
    let (root, _) = rig.make("", json!({})).await;
    let (key, _) = rig.make(&root, json!({"tokens_per_minute": 100})).await;
    let long = |model: &str| {
        let mut body = chat(model);
        body["max_tokens"] = json!(80);
        body
    };
    // Each uses eight.
    for _ in 0..2 {
        assert_eq!(rig.post_by(&key, "/v1/chat/completions", &long("sim-chat")).await.status, 200);
    }
    let mut socket = rig.socket_by(&key).await.unwrap();
    let mut held = native("a", "hold");
    held["payload"]["max_tokens"] = json!(80);
    socket.say(held).await;
    rig.worker.held().await;
    is_met(&rig.post_by(&key, "/v1/chat/completions", &long("sim-chat")).await, "100 tokens per minute");
}

#[tokio::test]
async fn the_keys_of_a_tenant_share_its_limits() {
    let broker = Memory::default();
    broker.ensure(&Topology::new(Subjects::default()).streams(&Limits::default())).await.unwrap();
    let acme = TenantConfig { requests_per_minute: Some(2), ..TenantConfig::default() };
    let tenants = Tenants::new(&BTreeMap::from([(Tenant::new("acme").unwrap(), acme)]), &[]);
    let access = Access { tenants: tenants.clone(), ..Access::default() };
    let rig = Rig::guarded(broker, access, json!({})).await;
    let (root, _) = rig.make("", json!({})).await;
    let mut keys = Vec::new();
    for _ in 0..3 {
        keys.push(rig.make(&root, json!({"tenant": "acme", "requests_per_minute": 2})).await.0);
    }
    let ask = async |key: &str| rig.post_by(key, "/v1/chat/completions", &chat("sim-chat")).await;
    assert_eq!(ask(&keys[0]).await.status, 200);
    assert_eq!(ask(&keys[1]).await.status, 200);
    is_met(&ask(&keys[2]).await, "the tenant `acme` has met its limit of 2 requests per minute");
    tenants.replace(&BTreeMap::new(), &[]);
    assert_eq!(ask(&keys[2]).await.status, 200, "what was refused took nothing of the key");
    assert_eq!(ask(&keys[2]).await.status, 200);
    is_met(&ask(&keys[2]).await, "the API key");
}

#[tokio::test]
async fn the_tenants_of_an_organisation_share_its_limits() {
    let broker = Memory::default();
    broker.ensure(&Topology::new(Subjects::default()).streams(&Limits::default())).await.unwrap();
    let of = |instance: &str| TenantConfig {
        organisation: Some("Acme".to_owned()),
        instance: Some(instance.to_owned()),
        ..TenantConfig::default()
    };
    let tenants = [("a", of("production")), ("b", of("production")), ("c", of("staging"))];
    let tenants = tenants.map(|(name, config)| (Tenant::new(name).unwrap(), config)).into();
    let of_all = LimitConfig {
        organisation: "Acme".to_owned(),
        requests_per_minute: Some(3),
        ..LimitConfig::default()
    };
    let of_one = LimitConfig {
        instance: Some("production".to_owned()),
        requests_per_minute: Some(2),
        ..of_all.clone()
    };
    let access = Access { tenants: Tenants::new(&tenants, &[of_one, of_all]), ..Access::default() };
    let rig = Rig::guarded(broker, access, json!({})).await;
    let (root, _) = rig.make("", json!({})).await;
    let [a, b, c, d] = [
        rig.make(&root, json!({"tenant": "a"})).await.0,
        rig.make(&root, json!({"tenant": "b"})).await.0,
        rig.make(&root, json!({"tenant": "c"})).await.0,
        rig.make(&root, json!({"tenant": "d"})).await.0,
    ];
    let ask = async |key: &str| rig.post_by(key, "/v1/chat/completions", &chat("sim-chat")).await;
    assert_eq!(ask(&a).await.status, 200);
    assert_eq!(ask(&b).await.status, 200);
    let refused = ask(&a).await;
    let of_instance =
        "the organisation `Acme`, instance `production` has met its limit of 2 requests per minute";
    let wait = is_met(&refused, of_instance);
    assert!((1..=MINUTE_AND_SPREAD_MS).contains(&wait), "{wait}");
    assert_eq!(ask(&c).await.status, 200, "what was refused took nothing of the whole");
    is_met(&ask(&c).await, "the organisation `Acme` has met its limit of 3 requests per minute");
    assert_eq!(ask(&d).await.status, 200, "another organisation");
}

#[tokio::test]
async fn a_request_tells_its_key_whatever_its_sender_says() {
    let rig = Rig::start().await;
    let forged = |id: &str| {
        let mut request = native(id, "sim-chat");
        request["sent_by"] = json!({"key": "forged", "mode": "live"});
        request
    };
    let outcome = async |key: &str, id: &str| -> Value {
        loop {
            let reply = rig.get_by(key, &format!("/v1/requests/{id}")).await;
            if reply.status == 200 {
                return reply.json();
            }
        }
    };
    assert_eq!(rig.post_by("", "/v1/requests", &forged("a")).await.status, 202);
    assert_eq!(outcome("", "a").await.get("key"), None);
    let (root, _) = rig.make("", json!({})).await;
    let (test, id) = rig.make(&root, json!({"mode": "test"})).await;
    assert_eq!(rig.post_by(&test, "/v1/requests", &forged("b")).await.status, 202);
    assert_eq!(outcome(&test, "b").await["key"], json!(id));
}
