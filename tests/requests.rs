//! Fire and forget: hand a request in, ask for its outcome and its events later.

use serde_json::{Value, json};
use sse_stream::Sse;

use crate::support::{Broker, Dynode, client};

on_each_broker!(
    a_request_is_accepted_and_its_outcome_found,
    its_events_can_be_read_from_any_point,
    the_same_request_again_is_the_first_one,
    a_request_can_be_cancelled,
    the_failure_of_a_provider_is_an_outcome,
    what_happened_is_measured,
);

fn chat(id: &str, simulate: Value) -> Value {
    let messages = json!([{"role": "user", "content": "Hello"}]);
    let payload = json!({"model": "sim-fast", "messages": messages, "stream": true, "simulate": simulate});
    json!({"id": id, "action": "chat.completion", "payload": payload, "metadata": {"k": "v"}})
}

fn bodies(events: &[Sse]) -> Vec<Value> {
    events.iter().map(|event| serde_json::from_str(event.data.as_deref().unwrap()).unwrap()).collect()
}

async fn a_request_is_accepted_and_its_outcome_found(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    let unnamed =
        json!({"action": "embedding.query", "payload": {"model": "sim-embed", "input": ["a", "b"]}});
    let response = client().post(dynode.url() + "/v1/requests").json(&unnamed).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let place = response.headers()["location"].to_str().unwrap().to_owned();
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let accepted: Value = response.json().await.unwrap();
    assert_eq!((accepted["id"].as_str(), &*place), (Some(&*id), &*format!("/v1/requests/{id}")));
    let outcome = dynode.outcome(&id).await;
    assert_eq!(outcome["status"], "succeeded", "{outcome:#}");
    assert_eq!(outcome["output"]["embeddings"].as_array().unwrap().len(), 2);

    dynode.post("/v1/requests", &chat("named", json!({}))).await;
    let outcome = dynode.outcome("named").await;
    assert_eq!(outcome["output"]["text"], "You said: Hello", "{outcome:#}");
    assert_eq!(outcome["metadata"]["k"], "v");
    assert_eq!(outcome["attempts"][0]["provider"], "sim");
    assert!(outcome["usage"]["output_tokens"].as_u64().unwrap() > 0);
    assert!(outcome["timings"]["total_ms"].is_u64());
}

async fn its_events_can_be_read_from_any_point(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    let (status, _) =
        dynode.post("/v1/requests", &chat("s", json!({"tokens": 20, "tokens_per_second": 40}))).await;
    assert_eq!(status, 202);
    let live = dynode.events("s", None).await.rest().await;
    let names: Vec<_> = live.iter().map(|event| event.event.as_deref().unwrap()).collect();
    assert_eq!(names[..2], ["queued", "running"]);
    assert_eq!(names[2..names.len() - 1], ["chat.delta"; 21], "20 tokens and the reason to finish");
    assert_eq!(names.last(), Some(&"chat.complete"));
    let again = dynode.events("s", None).await.rest().await;
    assert_eq!(bodies(&again), bodies(&live), "what was live is replayed");
    let last_seen = live[9].id.as_deref();
    let rest = dynode.events("s", last_seen).await.rest().await;
    assert_eq!(bodies(&rest), bodies(&live[10..]));
}

async fn the_same_request_again_is_the_first_one(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    dynode.post("/v1/requests", &chat("once", json!({}))).await;
    let first = dynode.outcome("once").await;
    let (status, accepted) = dynode.post("/v1/requests", &chat("once", json!({}))).await;
    assert_eq!((status, accepted["id"].as_str()), (202, Some("once")));
    assert_eq!(dynode.outcome("once").await, first, "it ran again");
    let (status, refused) = dynode.post("/v1/requests", &chat("once", json!({"tokens": 3}))).await;
    assert_eq!((status, refused["error"]["code"].as_str()), (409, Some("conflict")), "{refused}");
    assert_eq!(dynode.outcome("once").await, first);
}

async fn a_request_can_be_cancelled(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    dynode.post("/v1/requests", &chat("long", json!({"tokens": 2_000, "tokens_per_second": 10}))).await;
    let mut events = dynode.events("long", None).await;
    while events.next().await.expect("a delta").event.as_deref() != Some("chat.delta") {}
    let (status, running) = dynode.get("/v1/requests/long").await;
    assert_eq!((status, running["status"].as_str()), (202, Some("running")), "{running}");
    let (status, _) = dynode.delete("/v1/requests/long").await;
    assert_eq!(status, 202);
    assert_eq!(events.rest().await.last().unwrap().event.as_deref(), Some("cancelled"));
    assert_eq!(dynode.outcome("long").await["status"], "cancelled");
}

async fn the_failure_of_a_provider_is_an_outcome(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    dynode.post("/v1/requests", &chat("bad", json!({"fail": "provider_error"}))).await;
    let outcome = dynode.outcome("bad").await;
    assert_eq!((&outcome["status"], &outcome["error"]["code"]), (&json!("failed"), &json!("provider_error")));
    dynode.post("/v1/requests", &chat("shaky", json!({"fail": "provider_unavailable", "times": 1}))).await;
    let outcome = dynode.outcome("shaky").await;
    assert_eq!(outcome["status"], "succeeded", "one failure is got over: {outcome:#}");
}

async fn what_happened_is_measured(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    dynode.post("/v1/requests", &chat("measured", json!({}))).await;
    dynode.outcome("measured").await;
    let metrics = client().get(dynode.url() + "/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        r#"dynode_gateway_accepted_total{action="chat.completion",door="requests"} 1"#,
        r#"dynode_provider_calls_total{model="sim-fast",provider="sim",result="ok"} 1"#,
        r#"dynode_provider_duration_seconds_count{model="sim-fast",provider="sim"} 1"#,
    ] {
        assert!(metrics.lines().any(|have| have == line), "no `{line}` in\n{metrics}");
    }
    assert_eq!(dynode.get("/health/ready").await.0, 200);
    assert_eq!(dynode.get("/health/live").await.0, 200);
}
