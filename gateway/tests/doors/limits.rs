//! What a gateway withstands: too much, too large, too slow, and its own end.

use axum::{
    body::{Body, Bytes},
    http::Request,
};
use broker::{
    Broker, ErrorKind, Link,
    memory::{Fault, Rule},
};
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::{chat, native, post, send, streamed},
    rig::{PATIENCE, Rig},
    socket::Socket,
};

#[tokio::test]
async fn one_request_too_many_is_told_when_to_return() {
    let rig = Rig::with(json!({ "requests_inflight_max": 1 })).await;
    let held = post("/v1/chat/completions", &streamed("hold"));
    let second = async {
        rig.worker.held().await;
        let reply = rig.post("/v1/chat/completions", &chat("sim-chat")).await;
        rig.worker.go.notify_one();
        reply
    };
    let (first, refused) = tokio::join!(rig.request(held), second);
    assert_eq!((first.status, refused.status), (200.try_into().unwrap(), 429.try_into().unwrap()));
    let hint: u64 = refused.header("retry-after-ms").parse().unwrap();
    assert!((1_000..=1_500).contains(&hint), "{hint}");
    assert_eq!(refused.header("retry-after"), hint.div_ceil(1_000).to_string());
    assert_eq!(refused.json()["error"]["code"], "overloaded");
    assert!(!refused.headers.contains_key("x-should-retry"), "the SDKs may try again");
    assert_eq!(
        rig.post("/v1/chat/completions", &chat("sim-chat")).await.status,
        200,
        "the slot is free again"
    );
}

#[tokio::test]
async fn a_full_queue_is_overload_and_a_publish_of_unknown_result_is_no_refusal() {
    let rig = Rig::start().await;
    for (kind, status) in [(ErrorKind::Full, 429), (ErrorKind::Disconnected, 500), (ErrorKind::Timeout, 500)]
    {
        let rule = rig.broker.inject(Rule::new(Fault::Refuse(kind), "dynode.req.>")).unwrap();
        let reply = rig.post_as("again", "/v1/chat/completions", &chat("sim-chat")).await;
        assert_eq!(reply.status, status, "{kind:?}: what may run is not told to be refused");
        assert!(reply.headers.contains_key("retry-after"), "{kind:?}");
        assert!(rig.broker.fired(rule) > 0);
        rig.broker.heal(rule);
    }
    let reply = rig.post_as("again", "/v1/chat/completions", &chat("sim-chat")).await;
    assert_eq!(reply.status, 200, "nothing that was refused holds the id");
}

#[tokio::test]
async fn a_publish_whose_ack_is_lost_runs_once() {
    let rig = Rig::start().await;
    let rule = rig.broker.inject(Rule::new(Fault::LoseAck, "dynode.req.>").times(1)).unwrap();
    let reply = rig.post("/v1/chat/completions", &chat("sim-chat")).await;
    assert_eq!((reply.status, rig.broker.fired(rule)), (200.try_into().unwrap(), 1));
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_with_and_without_a_length() {
    let rig = Rig::with(json!({ "body_bytes_max": 1_000 })).await;
    let pieces = stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 100]))));
    for body in [Body::from("x".repeat(2_000)), Body::from("x".repeat(100_000)), Body::from_stream(pieces)] {
        let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
        let reply = rig.request(request.body(body).unwrap()).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]["code"]),
            (413.try_into().unwrap(), &json!("too_large"))
        );
    }
}

#[tokio::test]
async fn nesting_without_end_is_refused() {
    let rig = Rig::start().await;
    let mut request = post("/v1/requests", &json!({}));
    *request.body_mut() = Body::from("[".repeat(100_000));
    assert_eq!(rig.request(request).await.status, 400);
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_closes_the_connection() {
    let rig = Rig::with(json!({ "header_read_timeout_ms": 100 })).await;
    for begun in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // The end may come as an orderly close or as a reset; only a connection that stays open is wrong.
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("must be closed");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_refused() {
    let rig = Rig::with(json!({ "body_read_timeout_ms": 100 })).await;
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let reply = rig.request(Request::post("/v1/requests").body(never).unwrap()).await;
    assert_eq!(reply.status, 400);
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("did not arrive"));
}

#[tokio::test]
async fn unknown_routes_and_methods_are_refused_in_the_form_of_the_api() {
    let rig = Rig::start().await;
    let unknown = rig.get("/v1/nothing").await;
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (404.try_into().unwrap(), &json!("not_found"))
    );
    assert!(!unknown.header("x-request-id").is_empty());
    let method = rig.get("/v1/chat/completions").await;
    assert_eq!((method.status, method.header("allow")), (405.try_into().unwrap(), "POST"));
    assert!(method.json()["error"]["message"].as_str().unwrap().contains("GET"));
}

#[tokio::test]
async fn http2_is_spoken() {
    let rig = Rig::start().await;
    let stream = hyper_util::rt::TokioIo::new(TcpStream::connect(rig.address).await.unwrap());
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
    let asked = async move {
        let request = Request::get("http://localhost/v1/models").body(Body::empty()).unwrap();
        sender.send_request(request).await.unwrap().status()
    };
    tokio::select! {
        status = asked => assert_eq!(status, 200),
        ended = connection => panic!("the connection ended first: {ended:?}"),
    }
}

#[tokio::test]
async fn probes_say_how_it_is() {
    let rig = Rig::start().await;
    assert_eq!(rig.get("/health/live").await.status, 200);
    assert_eq!(rig.get("/health/ready").await.status, 200);
    assert_eq!(rig.get("/metrics").await.text(), "# metrics\n");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut() {
    let rig = Rig::with(json!({ "write_timeout_ms": 200 })).await;
    rig.post("/v1/requests", &native("deaf", "flood")).await;
    rig.until_ended("deaf").await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(b"GET /v1/requests/deaf/events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // A connection that is closed refuses to be written to; nothing else tells a client that does not read.
    let cut = async {
        while stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, cut).await.unwrap();
}

#[tokio::test]
async fn the_index_lists_every_route() {
    let index = Rig::start().await.get("/").await.json();
    let lists = index.as_object().unwrap().values().flat_map(|value| match value {
        Value::Array(routes) => routes.clone(),
        other => vec![other.clone()],
    });
    let listed: Vec<_> = lists.filter_map(|route| route.as_str().map(str::to_owned)).collect();
    let document = gateway::openapi();
    let routes: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
    assert!(routes.len() > 15, "{routes:?}");
    for route in routes {
        assert!(listed.contains(route), "{route} is not in {listed:?}");
    }
}

#[tokio::test]
async fn requests_that_are_held_take_no_more_bytes_than_may_be() {
    let rig = Rig::with(json!({ "bytes_inflight_max": 1 << 20 })).await;
    let large = |model: &str| {
        let mut body = streamed(model);
        body["messages"][0]["content"] = json!("x".repeat(700_000));
        body
    };
    let held = large("hold");
    let second = async {
        rig.worker.held().await;
        let mut published = rig.broker.subscribe("dynode.req.>").await.unwrap();
        let by_http = rig.post("/v1/chat/completions", &large("sim-chat")).await;
        let mut socket = Socket::open(&rig).await;
        socket.say(json!({ "id": "b-1", "action": "chat.completion", "payload": large("sim-chat") })).await;
        let by_socket = socket.hear().await;
        assert_eq!(
            rig.post("/v1/chat/completions", &chat("sim-chat")).await.status,
            200,
            "a small one has room"
        );
        published.next().await.unwrap();
        assert!(published.next().now_or_never().is_none(), "what was refused was not published");
        rig.worker.go.notify_one();
        (by_http, by_socket)
    };
    let (first, (by_http, by_socket)) = tokio::join!(rig.post("/v1/chat/completions", &held), second);
    assert_eq!(first.status, 200);
    assert_eq!((by_http.status.as_u16(), &by_http.json()["error"]["code"]), (429, &json!("overloaded")));
    assert!(by_http.header("retry-after-ms").parse::<u64>().unwrap() >= 1_000);
    assert_eq!((&by_socket["id"], &by_socket["error"]["code"]), (&json!("b-1"), &json!("overloaded")));
    let again = rig.post("/v1/chat/completions", &large("sim-chat")).await;
    assert_eq!(again.status, 200, "the room is free again");
}

#[tokio::test]
async fn a_drain_lets_a_stream_end_and_refuses_what_is_new() {
    let mut rig = Rig::start().await;
    let mut live = rig.open(Request::get("/v1/events").body(Body::empty()).unwrap()).await;
    let held = tokio::spawn(send(rig.address, post("/v1/chat/completions", &streamed("hold"))));
    live.read_until("event: running").await;
    rig.stop();
    let refused = loop {
        let reply = rig.post("/v1/requests", &native("new", "sim-chat")).await;
        if reply.status != 202 {
            break reply;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.json()["error"]["code"], "overloaded");
    rig.worker.go.notify_one();
    assert!(held.await.unwrap().text().ends_with("data: [DONE]\n\n"));
    rig.ended().await;
}

#[tokio::test]
async fn a_lost_broker_is_not_ready() {
    let rig = Rig::start().await;
    rig.broker.disconnect();
    let mut link = rig.broker.link();
    link.wait_for(|link| matches!(link, Link::Down(_))).await.unwrap();
    let ready = rig.get("/health/ready").await;
    assert_eq!(
        (ready.status, &ready.json()["reasons"]),
        (503.try_into().unwrap(), &json!(["the broker is not reachable"]))
    );
}
