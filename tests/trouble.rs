//! Trouble with the broker, seen from outside: what was accepted ends once, what cannot be accepted is refused honestly
//! and soon, and nothing has to be restarted by hand.

use std::{collections::BTreeMap, time::Duration};

use broker::testing::Server;
use futures_util::TryStreamExt;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use crate::support::{Broker, Dynode, Launch, client, within};

/// How often a test looks for what must come.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the server is gone.
const OUTAGE: Duration = Duration::from_secs(3);
/// The longest that a refusal may take: a client that is kept longer would have given up.
const REFUSAL_MAX: Duration = Duration::from_secs(15);
/// A stream of requests, not a flood.
const SEND_EVERY: Duration = Duration::from_millis(25);

async fn start(server: &Server) -> Dynode {
    let launch = Launch::on(&Broker::Servers(server.url())).variable("DYNODE_ENGINE__LEASE_MS", "3000");
    launch.start().await
}

fn chat(id: &str) -> Value {
    json!({"id": id, "action": "chat.completion", "payload": {
        "model": "sim-fast", "messages": [{"role": "user", "content": id}], "stream": true,
        "simulate": {"tokens": 20, "tokens_per_second": 20},
    }})
}

async fn post(url: &str, id: &str) -> Response {
    let request = client().post(format!("{url}/v1/requests")).json(&chat(id));
    within("an answer to a request", request.send()).await.unwrap()
}

/// Looks until `/health/ready` answers `status`, and returns its body.
async fn until_ready_is(dynode: &Dynode, status: u16) -> Value {
    within("a change of readiness", async {
        loop {
            let (now, body) = dynode.get("/health/ready").await;
            if now == status {
                return body;
            }
            sleep(LOOK_EVERY).await;
        }
    })
    .await
}

/// Sends requests one after the other until it is aborted, and says what each was answered with.
async fn keep_sending(url: String, answers: mpsc::UnboundedSender<(String, u16)>) {
    for number in 0.. {
        let id = format!("steady-{number}");
        let status = post(&url, &id).await.status().as_u16();
        if answers.send((id, status)).is_err() {
            return;
        }
        sleep(SEND_EVERY).await;
    }
}

/// Refused at once, with a hint when to come again.
async fn check_refused(dynode: &Dynode, id: &str) {
    let asked = Instant::now();
    let refused = post(&dynode.url(), id).await;
    let took = asked.elapsed();
    println!("refused with {} after {took:?}", refused.status());
    assert!(took < REFUSAL_MAX, "{took:?}");
    assert!(matches!(refused.status().as_u16(), 429 | 503), "{}", refused.status());
    assert!(refused.headers().contains_key("retry-after"), "{:?}", refused.headers());
    let body: Value = refused.json().await.unwrap();
    assert!(body["error"]["message"].as_str().unwrap().contains("the broker is not reachable"), "{body:#}");
}

/// How many outcomes the stream holds, by the subject of their requests.
async fn outcomes(server: &Server) -> BTreeMap<String, usize> {
    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("DYNODE_RES").await.unwrap();
    stream.info_with_subjects(">").await.unwrap().try_collect().await.unwrap()
}

#[tokio::test]
async fn a_server_that_is_gone_for_seconds_costs_no_accepted_request() {
    let mut server = Server::start().await;
    let dynode = start(&server).await;
    let (answers, mut answered) = mpsc::unbounded_channel();
    let sender = tokio::spawn(keep_sending(dynode.url(), answers));
    let mut accepted = Vec::new();
    while accepted.len() < 30 {
        let (id, status) = within("an answer", answered.recv()).await.unwrap();
        assert_eq!(status, 202, "{id}");
        accepted.push(id);
    }

    server.kill().await;
    let killed = Instant::now();
    let unready = until_ready_is(&dynode, 503).await;
    println!("loss noticed after {:?}", killed.elapsed());
    assert_eq!(unready["reasons"], json!(["the broker is not reachable"]));
    check_refused(&dynode, "refused").await;
    sleep(OUTAGE.saturating_sub(killed.elapsed())).await;

    server.restart().await;
    let restarted = Instant::now();
    until_ready_is(&dynode, 200).await;
    println!("ready {:?} after the server", restarted.elapsed());
    within("a request that is accepted again", async {
        while post(&dynode.url(), "after").await.status() != 202 {
            sleep(LOOK_EVERY).await;
        }
    })
    .await;
    assert_eq!(dynode.outcome("after").await["status"], "succeeded");
    println!("first answer {:?} after the server", restarted.elapsed());
    sender.abort();
    while let Some((id, status)) = answered.recv().await {
        assert!(matches!(status, 202 | 429 | 503), "{id}: {status}");
        if status == 202 {
            accepted.push(id);
        }
    }
    for id in &accepted {
        let outcome = dynode.outcome(id).await;
        assert_eq!(outcome["status"], "succeeded", "{outcome:#}");
    }
    println!("all {} answered {:?} after the server", accepted.len(), restarted.elapsed());
    let held = outcomes(&server).await;
    for id in &accepted {
        let own = format!(".{id}");
        let count: usize =
            held.iter().filter(|(subject, _)| subject.ends_with(&own)).map(|(_, count)| count).sum();
        assert_eq!(count, 1, "{id}: {held:#?}");
    }
}

#[tokio::test]
async fn streams_that_are_deleted_by_hand_are_back_for_the_next_request() {
    let server = Server::start().await;
    let dynode = start(&server).await;
    assert_eq!(post(&dynode.url(), "before").await.status(), 202);
    assert_eq!(dynode.outcome("before").await["status"], "succeeded");
    let nats = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let mut streams: Vec<String> = nats.stream_names().try_collect().await.unwrap();
    streams.retain(|name| name.starts_with("DYNODE_WORK") || name == "DYNODE_REQ" || name == "DYNODE_RES");
    assert!(streams.len() >= 3, "{streams:?}");
    for stream in streams {
        assert!(nats.delete_stream(&stream).await.unwrap().success);
        let deleted = Instant::now();
        let id = format!("after-{stream}");
        within("a request that is accepted again", async {
            while post(&dynode.url(), &id).await.status() != 202 {
                sleep(LOOK_EVERY).await;
            }
        })
        .await;
        let outcome = dynode.outcome(&id).await;
        assert_eq!(outcome["status"], "succeeded", "{outcome:#}");
        println!("{stream} deleted to an answer: {:?}", deleted.elapsed());
    }
}
