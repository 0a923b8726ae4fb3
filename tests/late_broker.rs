//! A broker that is not there yet: the start waits, says so, and takes nothing in. One that is there and refuses us, or
//! cannot keep our promises, stops it.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use broker::testing::Server;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use crate::{
    support::{Broker, Dynode, Launch, client, within},
    workers::{launch, ready, until, workers},
};

/// How often a test looks for what must come.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Long enough for several tries, of which only the first may be told.
const ABSENCE: Duration = Duration::from_secs(5);
/// What the log says of a wait.
const WAITS: &str = "the broker is not there; waiting for it";

/// A server that was there once, so that its port is known.
async fn absent() -> Server {
    let mut server = Server::start().await;
    server.kill().await;
    server
}

/// A start whose broker is not there, as far as it comes.
async fn waiting(server: &Server) -> Dynode {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let dynode = Launch::on(&Broker::Servers(server.url())).listen(address).begin().await;
    within("a socket", async {
        while client().get(dynode.url() + "/health/live").send().await.is_err() {
            sleep(LOOK_EVERY).await;
        }
    })
    .await;
    dynode
}

fn chat() -> Value {
    json!({"model": "sim-fast", "messages": [{"role": "user", "content": "Hello"}]})
}

#[tokio::test]
async fn a_broker_that_comes_late_is_waited_for() {
    let mut server = absent().await;
    let began = Instant::now();
    let mut dynode = waiting(&server).await;
    println!("answered {:?} after the start", began.elapsed());
    assert_eq!(dynode.get("/health/live").await, (200, json!({"status": "live"})));
    let unready = json!({
        "status": "unready", "reasons": ["starting", "the broker is not reachable"], "alarms": [],
    });
    assert_eq!(dynode.get("/health/ready").await, (503, unready));
    let refused = client().post(dynode.url() + "/v1/chat/completions").json(&chat()).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"), "{refused:?}");
    until("a line about it", || dynode.log().contains(WAITS)).await;
    sleep(ABSENCE).await;
    assert_eq!(dynode.log().matches(WAITS).count(), 1, "told once:\n{}", dynode.log());

    server.restart().await;
    let there = Instant::now();
    dynode.has_started().await;
    println!("started {:?} after the server", there.elapsed());
    assert_eq!(dynode.get("/health/ready").await.0, 200);
    assert_eq!(dynode.post("/v1/chat/completions", &chat()).await.0, 200);
    assert!(dynode.log().contains("the broker is there"), "{}", dynode.log());
}

#[tokio::test]
async fn a_start_that_waits_ends_at_ctrl_c() {
    let server = absent().await;
    let mut dynode = waiting(&server).await;
    dynode.interrupt();
    let asked = Instant::now();
    assert_eq!(dynode.stopped().await, Some(0));
    println!("ended {:?} after Ctrl-C", asked.elapsed());
}

#[tokio::test]
async fn a_worker_that_is_started_while_the_broker_is_gone_waits_as_well() {
    let mut server = Server::start().await;
    let dynode = launch(&Broker::Servers(server.url())).start().await;
    until("two workers that are ready", || ready(&dynode).len() == 2).await;
    server.kill().await;
    kill_process(workers(&dynode)["1"], Signal::KILL).unwrap();
    let waits = || dynode.log().lines().any(|line| line.starts_with("worker=1 ") && line.contains(WAITS));
    until("one that waits", waits).await;
    let heir = workers(&dynode)["1"];
    server.restart().await;
    until("the same one, ready", || ready(&dynode).get("1") == Some(&heir)).await;
    assert!(!dynode.log().contains("reason=\"exited\""), "it gave up:\n{}", dynode.log());
}

#[tokio::test]
async fn a_broker_that_refuses_us_stops_the_start() {
    let server = Server::with_config("authorization { user: ann, password: s3cret }").await;
    let wrong = server.url().replace("nats://", "nats://ann:wr0ng@");
    let refused = Launch::on(&Broker::Servers(wrong)).refused().await.failed(69);
    assert!(refused.contains("credentials") && !refused.contains("wr0ng"), "{refused}");
}

#[tokio::test]
async fn a_stream_that_cannot_keep_a_promise_stops_the_start() {
    let server = Server::start().await;
    let nats = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let lossy = Config {
        name: "DYNODE_REQ".into(),
        subjects: vec!["dynode.req.>".into()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::Old,
        duplicate_window: Duration::from_secs(120),
        ..Config::default()
    };
    nats.create_stream(lossy).await.unwrap();
    let refused = Launch::on(&Broker::Servers(server.url())).refused().await.failed(69);
    assert!(refused.contains("DYNODE_REQ has discard") && refused.contains("--discard=new"), "{refused}");
}
