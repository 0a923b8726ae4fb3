//! What is refused for what it would cost: at every door, before anything of it is published.

use broker::Broker;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};

use crate::{
    client::{chat, native},
    rig::Rig,
    socket::Socket,
};

/// A request that the rig takes to cost more than is left.
fn dear(mut request: Value) -> Value {
    request["route"] = json!({ "max_cost_usd": 0.0 });
    request
}

#[tokio::test]
async fn what_may_cost_too_much_is_refused_at_every_door_and_left_no_trace() {
    let rig = Rig::start().await;
    let mut published = rig.broker.subscribe("dynode.req.>").await.unwrap();
    let refused = rig.post("/v1/requests", &dear(native("r-1", "sim-chat"))).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["code"]), (429, &json!("budget_exceeded")));
    assert_eq!((refused.header("retry-after"), refused.header("x-should-retry")), ("60", "false"));
    assert_eq!(rig.get("/v1/requests/r-1").await.status, 404);
    let mut socket = Socket::open(&rig).await;
    socket.say(dear(native("s-1", "sim-chat"))).await;
    let frame = socket.hear().await;
    assert_eq!(
        (&frame["event"], &frame["error"]["code"]),
        (&json!("fail"), &json!("budget_exceeded")),
        "{frame}"
    );
    let mut long = chat("sim-chat");
    long["max_tokens"] = json!(1_000_000);
    let refused = rig.post("/v1/chat/completions", &long).await;
    let error = &refused.json()["error"];
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("insufficient_quota"), &json!("budget_exceeded")),
        "{error}"
    );
    assert!(published.next().now_or_never().is_none(), "what was refused was not published");
    assert_eq!(rig.post("/v1/requests", &native("r-1", "sim-chat")).await.status, 202, "nor is its id taken");
}

#[tokio::test]
async fn what_is_known_already_was_paid_for() {
    let rig = Rig::start().await;
    assert_eq!(rig.post("/v1/requests", &native("r-1", "sim-chat")).await.status, 202);
    rig.until_ended("r-1").await;
    assert_eq!(
        rig.post("/v1/requests", &dear(native("r-1", "sim-chat"))).await.status,
        202,
        "the same payload"
    );
}
