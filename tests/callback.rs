//! Callbacks: the outcome comes to its receiver, signed, for as often as it takes.

use std::time::Duration;

use chaos::receiver::{Config, Receiver, Secret, SignatureCheck};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use crate::support::{Broker, Dynode, Launch, python, within};

/// 24 bytes, as the specification recommends.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
/// The one that takes its place.
const NEXT_SECRET: &str = "whsec_NzY1NDMyMTBmZWRjYmE5ODc2NTQzMjEw";

type Deliveries = chaos::Journal<chaos::receiver::Delivery>;

on_each_broker!(
    a_callback_is_signed_and_repeated_until_it_is_taken,
    a_target_that_is_gone_is_left_alone_until_it_is_enabled,
);

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

/// A receiver of callbacks by any path, and what comes to it.
async fn receiver(secret: &str) -> (String, Deliveries, JoinSet<std::io::Result<()>>) {
    let secret = secret.parse::<Secret>().unwrap();
    let receiver = Receiver::bind(Config { secret: Some(secret), ..Config::default() }).await.unwrap();
    let base = format!("http://{}", receiver.local_addr());
    let deliveries = receiver.deliveries();
    let mut serving = JoinSet::new();
    serving.spawn(receiver.serve(std::future::pending()));
    (base, deliveries, serving)
}

/// A start that may call back to this machine, and does not try twice.
fn launch(broker: &Broker) -> Launch {
    Launch::on(broker)
        .variable("DYNODE_CALLBACKS__ALLOW_NETWORKS", r#"["127.0.0.0/8"]"#)
        .variable("DYNODE_CALLBACKS__ATTEMPTS_MAX", "1")
        .variable("DYNODE_CALLBACKS__DISABLE_AFTER", "2")
}

impl Dynode {
    /// Sends a request whose outcome goes to `callback`.
    async fn ask(&self, id: &str, callback: Value) {
        let payload = json!({"model": "sim-embed", "input": "x"});
        let request =
            json!({"id": id, "action": "embedding.query", "payload": payload, "callback": callback});
        let (status, accepted) = self.post("/v1/requests", &request).await;
        assert_eq!(status, 202, "{accepted}");
    }

    /// Waits until so many callbacks are parked; returns why the last one was.
    async fn parked(&self, count: usize) -> String {
        let parked = async {
            loop {
                let page = self.get("/v1/dead?stage=delivery").await.1;
                let letters = page["letters"].as_array().unwrap();
                if letters.len() == count {
                    return letters[count - 1]["message"].as_str().unwrap_or_default().to_owned();
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        within("a parked callback", parked).await
    }
}

async fn a_target_that_is_gone_is_left_alone_until_it_is_enabled(broker: Broker) {
    let (base, deliveries, _serving) = receiver(SECRET).await;
    let mut dynode = launch(&broker).start().await;
    let target = |query: &str| json!({"url": format!("{base}/hook{query}"), "secret": SECRET});
    dynode.ask("cb-1", target("?status=410")).await;
    let why = dynode.parked(1).await;
    assert!(why.contains("410"), "{why}");
    if matches!(broker, Broker::Managed) {
        dynode.kill().await;
        dynode.restart().await;
    }
    dynode.ask("cb-2", target("")).await;
    let why = dynode.parked(2).await;
    assert!(why.contains("the target has been disabled since"), "{why}");
    assert_eq!(deliveries.snapshot().entries.len(), 1, "it was not called again");
    let (_, told) = dynode.get("/v1/callbacks").await;
    let gone = &told["targets"][0];
    assert_eq!(gone["url"], format!("{base}/hook"));
    assert!(gone["disabled_at"].is_string() && gone["why"].as_str().unwrap().contains("410"), "{told:#}");
    let id = gone["id"].as_str().unwrap();
    let listed = dynode.run(&["callbacks", "list"]).await.succeeded();
    assert!(listed.contains(id) && listed.contains("disabled 20") && listed.contains("410"), "{listed}");
    let enabled = dynode.run(&["callbacks", "enable", id]).await.succeeded();
    assert_eq!(enabled, format!("{id}: enabled\n"));
    let refused = dynode.run(&["callbacks", "enable", id]).await.failed(1);
    assert!(refused.contains("no target of callbacks has the id"), "it is no longer one: {refused}");
    dynode.ask("cb-3", target("")).await;
    within("the callback", deliveries.wait_until(|arrived| arrived.len() == 2)).await;
}

#[tokio::test]
async fn an_operator_disables_a_target_and_enables_it_again() {
    let (base, deliveries, _serving) = receiver(SECRET).await;
    let dynode = launch(&Broker::Memory).start().await;
    let target = |query: &str| json!({"url": format!("{base}/hook{query}"), "secret": SECRET});
    let refused = dynode.run(&["callbacks", "disable", "ftp://example.com"]).await.failed(1);
    assert!(refused.contains("expected an http:// or https:// URL"), "{refused}");
    let disabled =
        dynode.run(&["callbacks", "disable", &format!("{base}/hook?key=secret")]).await.succeeded();
    assert!(
        disabled.contains(&format!("disabled, {base}/hook")) && !disabled.contains("secret"),
        "{disabled}"
    );
    dynode.ask("cb-1", target("")).await;
    let why = dynode.parked(1).await;
    assert!(why.contains("the target has been disabled since"), "{why}");
    let listed = dynode.run(&["callbacks", "list", "--json"]).await.succeeded();
    assert!(listed.contains("an operator disabled it"), "{listed}");
    dynode.run(&["callbacks", "enable", "--all"]).await.succeeded();
    let none = dynode.run(&["callbacks", "list"]).await;
    assert!(none.err.contains("every target takes its callbacks"), "{none:?}");
    let replayed = dynode.run(&["dead", "replay", "--all"]).await.succeeded();
    assert!(replayed.contains("1 replayed"), "{replayed}");
    within("the callback", deliveries.wait_until(|arrived| arrived.len() == 1)).await;
}

#[tokio::test]
async fn a_target_that_fails_again_and_again_is_left_alone() {
    let (base, deliveries, _serving) = receiver(SECRET).await;
    let dynode = launch(&Broker::Memory).start().await;
    let target = |query: &str| json!({"url": format!("{base}/hook{query}"), "secret": SECRET});
    let failures = async || dynode.get("/v1/callbacks").await.1["targets"][0]["failures"].clone();
    dynode.ask("cb-1", target("?status=500")).await;
    dynode.parked(1).await;
    assert_eq!(failures().await, 1);
    dynode.ask("cb-2", target("")).await;
    within("the callback", deliveries.wait_until(|arrived| arrived.len() == 2)).await;
    let forgotten = async {
        while !failures().await.is_null() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    within("one that was taken to end the count", forgotten).await;
    for (count, id) in [(2, "cb-3"), (3, "cb-4"), (4, "cb-5")] {
        dynode.ask(id, target("?status=500")).await;
        dynode.parked(count).await;
    }
    assert_eq!(deliveries.snapshot().entries.len(), 4, "the third was not sent");
    assert!(dynode.log().contains("a callback target was disabled"), "{}", dynode.log());
}

#[tokio::test]
async fn both_keys_sign_while_one_takes_the_place_of_the_other() {
    let (base, deliveries, _serving) = receiver(NEXT_SECRET).await;
    let dynode = launch(&Broker::Memory).start().await;
    let hook = format!("{base}/hook");
    dynode.ask("cb-1", json!({"url": hook, "secret": SECRET, "second_secret": NEXT_SECRET})).await;
    let arrived = within("the callback", deliveries.wait_until(|arrived| arrived.len() == 1)).await;
    assert_eq!(arrived[0].signature, SignatureCheck::Valid, "by the second key");
    let body = std::str::from_utf8(&arrived[0].body).unwrap();
    for key in [SECRET, NEXT_SECRET] {
        python(
            "webhook.py",
            &[key, &json!({"id": "cb-1", "body": body, "headers": arrived[0].headers}).to_string()],
        )
        .await;
    }
    dynode.ask("cb-2", json!({"url": hook, "secret": SECRET})).await;
    let arrived = within("the callback", deliveries.wait_until(|arrived| arrived.len() == 2)).await;
    assert_ne!(arrived[1].signature, SignatureCheck::Valid, "only the first key has signed");
}

#[tokio::test]
async fn a_callback_never_reaches_a_private_network_that_was_not_allowed() {
    let receiver = Receiver::bind(Config::default()).await.unwrap();
    let address = receiver.local_addr();
    let deliveries = receiver.deliveries();
    let mut serving = JoinSet::new();
    serving.spawn(receiver.serve(std::future::pending()));

    let server = broker::testing::Server::start().await;
    let bus = async_nats::connect(server.url()).await.unwrap();
    let mut parked = bus.subscribe("dynode.dead.>").await.unwrap();
    bus.flush().await.unwrap();
    let launch = Launch::on(&Broker::Servers(server.url())).file("[callbacks]\nattempts_max = 1");
    let dynode = launch.start().await;
    let payload = json!({"model": "sim-embed", "input": "x"});
    let request = |id: &str, hook: String| {
        let callback = json!({"url": hook, "secret": SECRET});
        json!({"id": id, "action": "embedding.query", "payload": payload, "callback": callback})
    };
    // What stands in the URL is seen before anything is done.
    dynode.post("/v1/requests", &request("literal", format!("http://{address}/hook"))).await;
    let refused = dynode.outcome("literal").await;
    assert_eq!(
        (&refused["status"], &refused["error"]["param"]),
        (&json!("failed"), &json!("callback.url")),
        "{refused:#}"
    );
    // Where a name leads is seen when it is called.
    let hook = format!("http://localhost:{}/hook", address.port());
    dynode.post("/v1/requests", &request("cb", hook)).await;
    let letter = within("a parked callback", futures_util::StreamExt::next(&mut parked)).await.unwrap();
    assert_eq!(letter.subject.as_str(), "dynode.dead.delivery.default.cb");
    assert!(deliveries.snapshot().entries.is_empty());
    assert_eq!(dynode.outcome("cb").await["status"], "succeeded");
}
