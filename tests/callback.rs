//! Callbacks: the outcome comes to its receiver, signed, for as often as it takes.

use chaos::receiver::{Config, Receiver, Secret, SignatureCheck};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Broker, Launch, python, within};

/// 24 bytes, as the specification recommends.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

on_each_broker!(a_callback_is_signed_and_repeated_until_it_is_taken);

async fn a_callback_is_signed_and_repeated_until_it_is_taken(broker: Broker) {
    let secret = SECRET.parse::<Secret>().unwrap();
    let receiver = Receiver::bind(Config { secret: Some(secret), ..Config::default() }).await.unwrap();
    let hook = format!("http://{}/hook?fail-first=2", receiver.local_addr());
    let deliveries = receiver.deliveries();
    let mut serving = JoinSet::new();
    serving.spawn(receiver.serve(std::future::pending()));

    let launch = Launch::on(&broker).variable("DYNODE_CALLBACKS__ALLOW_NETWORKS", r#"["127.0.0.0/8"]"#);
    let dynode = launch.variable("DYNODE_CALLBACKS__RETRY_FIRST_MS", "20").start().await;
    let payload = json!({"model": "sim-fast", "messages": [{"role": "user", "content": "Hello"}]});
    let callback = json!({"url": hook, "secret": SECRET});
    let request = json!({"id": "cb", "action": "chat.completion", "payload": payload, "callback": callback});
    let (status, accepted) = dynode.post("/v1/requests", &request).await;
    assert_eq!(status, 202, "{accepted}");

    let arrived = within("three tries", deliveries.wait_until(|arrived| arrived.len() == 3)).await;
    assert_eq!(arrived.iter().map(|delivery| delivery.status).collect::<Vec<_>>(), [500, 500, 200]);
    for delivery in &arrived {
        assert_eq!(delivery.message, arrived[0].message, "a retry has the id of the first try");
        assert_eq!(delivery.signature, SignatureCheck::Valid);
        assert_eq!(delivery.body, arrived[0].body);
    }
    let taken = &arrived[2];
    let body = std::str::from_utf8(&taken.body).unwrap();
    let verified = json!({"id": "cb", "body": body, "headers": taken.headers}).to_string();
    python("webhook.py", &[SECRET, &verified]).await;
    let told: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(told["data"], dynode.outcome("cb").await, "the callback carries the outcome");
}

#[tokio::test]
async fn a_callback_never_reaches_a_private_network_that_was_not_allowed() {
    let receiver = Receiver::bind(Config::default()).await.unwrap();
    let hook = format!("http://{}/hook", receiver.local_addr());
    let deliveries = receiver.deliveries();
    let mut serving = JoinSet::new();
    serving.spawn(receiver.serve(std::future::pending()));

    let server = broker::testing::Server::start().await;
    let bus = async_nats::connect(server.url()).await.unwrap();
    let mut parked = bus.subscribe("dynode.dead.>").await.unwrap();
    bus.flush().await.unwrap();
    let dynode = Launch::on(&Broker::Servers(server.url())).start().await;
    let payload = json!({"model": "sim-embed", "input": "x"});
    let callback = json!({"url": hook, "secret": SECRET});
    let request = json!({"id": "cb", "action": "embedding.query", "payload": payload, "callback": callback});
    dynode.post("/v1/requests", &request).await;
    let letter = within("a parked callback", futures_util::StreamExt::next(&mut parked)).await.unwrap();
    assert_eq!(letter.subject.as_str(), "dynode.dead.delivery.default.cb");
    assert!(deliveries.snapshot().entries.is_empty());
    assert_eq!(dynode.outcome("cb").await["status"], "succeeded");
}
