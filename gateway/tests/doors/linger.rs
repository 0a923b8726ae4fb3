//! What becomes of requests whose clients have gone. The time that a chat lingers is proved with a clock that stands
//! still, beside the code; here it is none, so that what is cancelled is cancelled at once.

use axum::{body::Body, http::Request};
use broker::{Broker, Subscription};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    client::{chat, native, post, streamed},
    rig::{PATIENCE, Rig},
    socket::Socket,
};

async fn rig() -> (Rig, Cancels) {
    let rig = Rig::with(json!({ "linger_ms": 0 })).await;
    let cancels = Cancels(rig.broker.subscribe("dynode.ctl.>").await.unwrap());
    (rig, cancels)
}

struct Cancels(Subscription);

impl Cancels {
    /// The id of the next request that is cancelled.
    async fn next(&mut self) -> String {
        let message = tokio::time::timeout(PATIENCE, self.0.next()).await.unwrap().unwrap();
        message.subject.rsplit('.').next().unwrap().to_owned()
    }
}

impl Rig {
    /// A socket on which these requests are running.
    async fn socket_with(&self, requests: &[Value]) -> Socket {
        let mut socket = Socket::open(self).await;
        for request in requests {
            socket.say(request.clone()).await;
            self.worker.held().await;
        }
        socket
    }

    /// Asks for an answer, and goes when it is being worked on.
    async fn ask_and_go(&self, key: &str, path: &str, body: &Value) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let body = body.to_string();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nidempotency-key: {key}\r\ncontent-length: ");
        stream.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
        self.worker.held().await;
    }
}

#[tokio::test]
async fn a_chat_whose_client_goes_is_cancelled_at_every_door_where_clients_wait() {
    let (rig, mut cancels) = rig().await;
    drop(rig.socket_with(&[native("socket", "hold")]).await);
    assert_eq!(cancels.next().await, "socket");
    rig.ask_and_go("plain", "/v1/chat/completions", &chat("hold")).await;
    assert_eq!(cancels.next().await, "plain");
    rig.ask_and_go("streamed", "/v1/chat/completions", &streamed("hold")).await;
    assert_eq!(cancels.next().await, "streamed");
    let embedding = json!({ "model": "hold", "input": "x" });
    rig.ask_and_go("embedding", "/v1/embeddings", &embedding).await;
    assert_eq!(cancels.next().await, "embedding");
}

#[tokio::test]
async fn a_stream_that_has_begun_is_cancelled_when_its_client_goes() {
    let (rig, mut cancels) = rig().await;
    let mut request = post("/v1/chat/completions", &streamed("script"));
    request.headers_mut().insert("idempotency-key", "begun".parse().unwrap());
    let opened = rig.open(request);
    let worked = async {
        rig.until_stored(&rig.event_subject("begun"), 1).await;
        let job = crate::worker::Job::of(&rig, "begun", schemas::Format::MessagePack);
        job.running(1).await;
        job.delta(1, 1, "Hel").await;
    };
    let (mut live, ()) = tokio::join!(opened, worked);
    live.read_until("Hel").await;
    drop(live);
    assert_eq!(cancels.next().await, "begun");
}

#[tokio::test]
async fn work_that_was_handed_in_to_be_done_runs_on() {
    let (rig, mut cancels) = rig().await;
    let mut with_callback = native("callback", "hold");
    with_callback["callback"] =
        json!({ "url": "http://127.0.0.1:9/", "secret": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0" });
    rig.post("/v1/requests", &native("service", "hold")).await;
    rig.worker.held().await;
    let mut reader = rig.open(Request::get("/v1/requests/service/events").body(Body::empty()).unwrap()).await;
    reader.read_until("event: running").await;
    drop(reader);
    drop(rig.socket_with(&[with_callback]).await);
    // A chat that a service asks for as well is a service's.
    let socket = rig.socket_with(&[native("both", "hold")]).await;
    assert_eq!(rig.post("/v1/requests", &native("both", "hold")).await.status, 202);
    drop(socket);
    drop(rig.socket_with(&[native("chat", "hold")]).await);
    assert_eq!(cancels.next().await, "chat", "those that went before it are not cancelled");
}

#[tokio::test]
async fn a_chat_that_another_client_reads_is_cancelled_only_when_that_one_goes() {
    let (rig, mut cancels) = rig().await;
    let first = rig.socket_with(&[native("shared", "hold"), native("own", "hold")]).await;
    let mut other = Socket::open(&rig).await;
    other.say(json!({ "action": "resume", "id": "shared", "attempt": 0, "after": 0 })).await;
    assert_eq!(other.hear().await["event"], "running");
    drop(first);
    assert_eq!(cancels.next().await, "own", "the other one is read");
    let mut reader = rig.open(Request::get("/v1/requests/shared/events").body(Body::empty()).unwrap()).await;
    reader.read_until("event: running").await;
    other.say(native("last", "hold")).await;
    rig.worker.held().await;
    drop(other);
    assert_eq!(cancels.next().await, "last", "it is read by SSE");
    drop(reader);
    assert_eq!(cancels.next().await, "shared");
}

#[tokio::test]
async fn a_socket_that_takes_its_own_request_up_again_is_never_gone() {
    let (rig, mut cancels) = rig().await;
    let mut socket = rig.socket_with(&[native("again", "hold")]).await;
    for _ in 0..20 {
        socket.say(json!({ "action": "resume", "id": "again", "attempt": 0, "after": 0 })).await;
        while socket.hear().await["event"] != "running" {}
    }
    drop(rig.socket_with(&[native("chat", "hold")]).await);
    assert_eq!(cancels.next().await, "chat");
}

#[tokio::test]
async fn a_gateway_that_drains_cancels_nothing() {
    let mut rig = Rig::with(json!({ "linger_ms": 0, "drain_timeout_ms": 100 })).await;
    let socket = rig.socket_with(&[native("drained", "hold")]).await;
    rig.stop();
    let (broker, topology) = (rig.broker.clone(), rig.topology.clone());
    rig.ended().await;
    drop(socket);
    assert!(broker.last(&topology.cancels, "dynode.ctl.default.drained").await.unwrap().is_none());
}
