//! `/v1/estimate`.

use futures_util::StreamExt;
use serde_json::{Value, json};

use broker::Broker;

use crate::{client::native, rig::Rig};

#[tokio::test]
async fn an_estimate_is_told_and_nothing_is_published() {
    let rig = Rig::start().await;
    let reply = rig.post("/v1/estimate", &native("a", "sim-chat")).await;
    let estimate = reply.json();
    assert_eq!((reply.status.as_u16(), &estimate["action"]), (200, &json!("chat.completion")), "{estimate}");
    let step = &estimate["steps"][0];
    assert_eq!((&step["model"], &step["cost_usd_min"]), (&json!("sim-chat"), &json!(0.25)));
    assert_eq!(step.get("cost_usd_max"), Some(&Value::Null), "unknown, and said so");
    for stream in [&rig.topology.requests, &rig.topology.events] {
        assert_eq!(rig.broker.replay(stream, ">", 0).await.unwrap().count().await, 0, "{stream}");
    }
}

#[tokio::test]
async fn what_would_be_refused_is_refused_alike() {
    let rig = Rig::start().await;
    let mut foreign = native("a", "sim-chat");
    foreign["tenant"] = json!("other");
    let no_action = json!({"payload": {}});
    let empty = json!({"action": "chat.completion", "payload": {"model": "sim-chat"}});
    for (body, status, param) in
        [(foreign, 403, "tenant"), (no_action, 400, "action"), (empty, 400, "payload.messages")]
    {
        let reply = rig.post("/v1/estimate", &body).await;
        let error = &reply.json()["error"];
        assert_eq!(reply.status.as_u16(), status, "{error}");
        assert!(error["param"].as_str().is_some_and(|told| param.starts_with(told)), "{error}");
    }
}
