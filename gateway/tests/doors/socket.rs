//! `/ws`.

use std::time::Duration;

use broker::{Broker, Message as BrokerMessage};
use futures_util::{SinkExt, StreamExt};
use schemas::Format;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::CloseFrame},
};

use crate::{
    client::{chat, native},
    rig::{PATIENCE, Rig},
    worker::Job,
};

pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn open(rig: &Rig) -> Self {
        Self(connect_async(format!("ws://{}/ws", rig.address)).await.unwrap().0)
    }

    pub(crate) async fn say(&mut self, value: Value) {
        self.0.send(Message::text(value.to_string())).await.unwrap();
    }

    /// The next frame that is not a ping.
    async fn message(&mut self) -> Message {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.unwrap().unwrap().unwrap() {
                Message::Ping(_) => {}
                message => return message,
            }
        }
    }

    pub(crate) async fn hear(&mut self) -> Value {
        match self.message().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    /// Frames up to the end of every one of `requests`.
    async fn hear_ends(&mut self, requests: usize) -> Vec<Value> {
        let (mut frames, mut ends) = (Vec::new(), 0);
        while ends < requests {
            let frame = self.hear().await;
            ends += usize::from(
                ["complete", "chat.complete", "fail", "cancelled"].iter().any(|end| frame["event"] == *end),
            );
            frames.push(frame);
        }
        frames
    }

    async fn closed(&mut self) -> CloseFrame {
        loop {
            match self.message().await {
                Message::Close(frame) => return frame.unwrap(),
                _ => continue,
            }
        }
    }
}

fn names(frames: &[Value], id: &str) -> Vec<String> {
    let of_id = frames.iter().filter(|frame| frame["id"] == id);
    of_id.map(|frame| frame["event"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn many_requests_share_a_socket_each_in_order() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    for index in 0..8 {
        socket.say(native(&format!("w-{index}"), "sim-chat")).await;
    }
    let frames = socket.hear_ends(8).await;
    for index in 0..8 {
        let id = format!("w-{index}");
        let expected = ["queued", "running", "chat.delta", "chat.delta", "chat.delta", "chat.complete"];
        assert_eq!(names(&frames, &id), expected);
        let of_id: Vec<_> = frames.iter().filter(|frame| frame["id"] == id).collect();
        let positions: Vec<_> =
            of_id.iter().map(|f| (f["attempt"].as_u64().unwrap(), f["seq"].as_u64().unwrap())).collect();
        assert_eq!(positions, [(0, 0), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4)]);
        let text: String = of_id.iter().filter_map(|frame| frame["delta"].as_str()).collect();
        assert_eq!((text.as_str(), &of_id[5]["output"]["text"]), ("Hello, world", &json!("Hello, world")));
        assert_eq!(of_id[5]["usage"]["output_tokens"], 3);
    }
}

#[tokio::test]
async fn a_binary_client_gets_binary_frames() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    let frame = Format::MessagePack.encode(&native("b-1", "sim-chat")).unwrap();
    socket.0.send(Message::binary(frame)).await.unwrap();
    let mut seen = Vec::new();
    while seen.last() != Some(&json!("chat.complete")) {
        let Message::Binary(bytes) = socket.message().await else { panic!("not binary") };
        seen.push(Format::MessagePack.decode::<Value>(&bytes).unwrap()["event"].clone());
    }
    assert_eq!(seen.len(), 6);
}

#[tokio::test]
async fn a_bad_frame_fails_and_the_socket_stays_open() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    socket.0.send(Message::text("{")).await.unwrap();
    let fail = socket.hear().await;
    assert_eq!(
        (&fail["id"], &fail["event"], &fail["error"]["code"]),
        (&Value::Null, &json!("fail"), &json!("invalid_request"))
    );
    socket.0.send(Message::binary(vec![0xc1])).await.unwrap();
    assert!(matches!(socket.message().await, Message::Binary(_)));
    let rows = [
        (json!({ "id": "x", "action": "dance", "payload": {} }), "action"),
        (json!({ "id": "x", "action": "chat.completion" }), "payload"),
        (
            json!({ "id": "x", "action": "chat.completion", "payload": { "model": "m", "messages": 3 } }),
            "payload.messages",
        ),
        (json!({ "id": "x", "action": "cancel", "payload": {} }), ""),
    ];
    for (frame, param) in rows {
        socket.say(frame.clone()).await;
        let fail = socket.hear().await;
        assert_eq!((&fail["id"], &fail["event"]), (&json!("x"), &json!("fail")), "{frame}");
        assert_eq!(fail["error"]["param"].as_str().unwrap_or_default(), param, "{fail}");
    }
    socket.say(native("after", "sim-chat")).await;
    assert_eq!(names(&socket.hear_ends(1).await, "after").len(), 6);
}

#[tokio::test]
async fn another_request_under_a_known_id_conflicts_and_the_same_one_attaches() {
    let rig = Rig::start().await;
    let mut one = Socket::open(&rig).await;
    one.say(native("c-1", "hold")).await;
    assert_eq!(one.hear().await["event"], "queued");
    assert_eq!(one.hear().await["event"], "running");
    let mut other = Socket::open(&rig).await;
    for socket in [&mut one, &mut other] {
        socket.say(native("c-1", "sim-chat")).await;
        assert_eq!(socket.hear().await["error"]["code"], "conflict");
    }
    other.say(native("c-1", "hold")).await;
    assert_eq!(other.hear().await["event"], "queued");
    rig.worker.go.notify_one();
    assert_eq!(names(&one.hear_ends(1).await, "c-1").len(), 4);
    assert_eq!(names(&other.hear_ends(1).await, "c-1").len(), 5);
}

#[tokio::test]
async fn who_is_second_under_an_id_is_told_so_even_where_that_shows_only_later() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    socket.say(native("c-2", "mute")).await;
    assert_eq!(socket.hear().await["event"], "queued");
    // On the bus another request came first.
    Job::of_another(&rig, "c-2").running(1).await;
    let fail = socket.hear().await;
    let told = (&fail["event"], &fail["error"]["code"], fail["attempt"].as_u64(), fail["seq"].as_u64());
    assert_eq!(told, (&json!("fail"), &json!("conflict"), Some(0), Some(1)));
    // From now on the id is the other's.
    socket.say(native("c-2", "mute")).await;
    let again = socket.hear().await;
    assert_eq!((&again["error"]["code"], again["seq"].as_u64()), (&json!("conflict"), Some(0)));
}

#[tokio::test]
async fn the_end_of_another_request_is_not_told_as_ones_own() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    for (id, tells) in [("c-3", true), ("c-4", false)] {
        socket.say(native(id, "mute")).await;
        assert_eq!(socket.hear().await["event"], "queued");
        let other = Job::of_another(&rig, id);
        match tells {
            true => other.end(0, 1, Ok(crate::worker::whole())).await,
            false => drop(other.record(0, 1, Ok(crate::worker::whole())).await),
        }
        // Where the end is not told, it is found once the request has been silent for long.
        assert_eq!(socket.hear().await["error"]["code"], "conflict", "{id}");
    }
}

#[tokio::test]
async fn another_gateway_knows_of_a_conflict_before_anything_is_told_of_the_first() {
    let rig = Rig::start().await;
    let other = Rig::on(rig.broker.clone(), json!({})).await;
    let (mut one, mut two) = (Socket::open(&rig).await, Socket::open(&other).await);
    one.say(native("c-5", "asleep")).await;
    assert_eq!(one.hear().await["event"], "queued");
    two.say(native("c-5", "sim-chat")).await;
    assert_eq!(two.hear().await["error"]["code"], "conflict");
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_after_the_last_frame_it_saw() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    socket.say(native("s-1", "script")).await;
    assert_eq!(socket.hear().await["event"], "queued");
    let job = Job::of(&rig, "s-1", Format::Json);
    rig.until_stored(&rig.event_subject("s-1"), 1).await;
    job.running(1).await;
    job.delta(1, 1, "Hello").await;
    while socket.hear().await["event"] != "chat.delta" {}
    drop(socket);
    job.delta(1, 2, ", ").await;
    let mut socket = Socket::open(&rig).await;
    socket.say(json!({ "action": "resume", "id": "s-1", "attempt": 1, "after": 1 })).await;
    assert_eq!(socket.hear().await["delta"], ", ");
    job.delta(1, 3, "world").await;
    assert_eq!(socket.hear().await["delta"], "world");
    job.end(1, 4, Ok(crate::worker::whole())).await;
    assert_eq!(socket.hear().await["event"], "chat.complete");
    socket.say(json!({ "action": "resume", "id": "nobody", "attempt": 1, "after": 1 })).await;
    assert_eq!(socket.hear().await["error"]["code"], "not_found");
}

#[tokio::test]
async fn a_client_that_comes_back_after_the_broker_lost_its_events_waits_for_the_next_attempt() {
    let rig = Rig::with(json!({ "resume_wait_ms": 60_000 })).await;
    let mut socket = Socket::open(&rig).await;
    // Nothing is known of the request: its events went with the broker, and its worker has not come back yet.
    socket.say(json!({ "action": "resume", "id": "l-1", "attempt": 1, "after": 7 })).await;
    socket.say(json!({ "action": "system.health" })).await;
    assert_eq!(socket.hear().await["event"], "complete", "the socket goes on meanwhile");
    Job::of(&rig, "l-1", Format::Json).running(2).await;
    let heard = [socket.hear().await, socket.hear().await];
    assert_eq!((&heard[0]["event"], &heard[1]["event"]), (&json!("restarted"), &json!("running")));
}

#[tokio::test]
async fn a_cancel_goes_out_and_an_unknown_one_fails() {
    let rig = Rig::start().await;
    let mut cancels = rig.broker.subscribe("dynode.ctl.>").await.unwrap();
    let mut socket = Socket::open(&rig).await;
    socket.say(native("k-1", "hold")).await;
    assert_eq!(socket.hear().await["event"], "queued");
    socket.say(json!({ "action": "cancel", "id": "k-1" })).await;
    assert_eq!(cancels.next().await.unwrap().subject, "dynode.ctl.default.k-1");
    assert_eq!(socket.hear().await["event"], "running");
    socket.say(json!({ "action": "cancel", "id": "nobody" })).await;
    assert_eq!(socket.hear().await["error"]["code"], "not_found");
}

#[tokio::test]
async fn health_and_backpressure_reach_a_socket() {
    let rig = Rig::start().await;
    let mut socket = Socket::open(&rig).await;
    socket.say(json!({ "action": "system.health", "id": "h" })).await;
    let health = socket.hear().await;
    assert_eq!((&health["event"], &health["output"]["status"]), (&json!("complete"), &json!("ready")));
    let signal = json!({ "pool": "sim", "state": "pause", "retry_after_ms": 200 });
    let payload = Format::MessagePack.encode(&signal).unwrap();
    rig.broker.send(BrokerMessage::new("dynode.sig.sim", Format::MessagePack, payload)).await.unwrap();
    let expected = json!({ "event": "backpressure", "pool": "sim", "state": "pause", "retry_after_ms": 200 });
    assert_eq!(socket.hear().await, expected);
}

#[tokio::test]
async fn one_request_too_many_is_refused_and_the_others_go_on() {
    let rig = Rig::with(json!({ "socket_requests_max": 1 })).await;
    let mut socket = Socket::open(&rig).await;
    socket.say(native("m-1", "hold")).await;
    assert_eq!(socket.hear().await["event"], "queued");
    assert_eq!(socket.hear().await["event"], "running");
    socket.say(native("m-2", "sim-chat")).await;
    let refused = socket.hear().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!("m-2"), &json!("overloaded")));
    assert!(refused["error"]["retry_after_ms"].is_u64());
    rig.worker.go.notify_one();
    assert_eq!(names(&socket.hear_ends(1).await, "m-1").last().unwrap(), "chat.complete");
}

#[tokio::test]
async fn a_frame_over_the_limit_closes_the_socket_with_1009() {
    let rig = Rig::with(json!({ "frame_bytes_max": 1_000 })).await;
    for bytes in [1_001, 3_000] {
        let mut socket = Socket::open(&rig).await;
        socket.0.send(Message::text("x".repeat(bytes))).await.unwrap();
        assert_eq!(u16::from(socket.closed().await.code), 1009, "{bytes}");
    }
}

#[tokio::test]
async fn a_foreign_page_may_not_open_a_socket() {
    let rig = Rig::start().await;
    let mut request = format!("ws://{}/ws", rig.address).into_client_request().unwrap();
    request.headers_mut().insert("origin", "https://elsewhere.example".parse().unwrap());
    match connect_async(request).await.unwrap_err() {
        Error::Http(response) => assert_eq!(response.status(), 403),
        other => panic!("{other}"),
    }
    let mut own = format!("ws://{}/ws", rig.address).into_client_request().unwrap();
    own.headers_mut().insert("origin", format!("http://{}", rig.address).parse().unwrap());
    connect_async(own).await.unwrap();
    assert_eq!(rig.get("/ws").await.status, 400, "not an upgrade");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_no_neighbour_notices() {
    let rig = Rig::with(json!({ "write_timeout_ms": 200, "socket_queue_frames_max": 4 })).await;
    let mut slow = Socket::open(&rig).await;
    let mut quick = Socket::open(&rig).await;
    slow.say(native("f-1", "flood")).await;
    rig.until_ended("f-1").await;
    quick.say(native("f-2", "sim-chat")).await;
    assert_eq!(names(&quick.hear_ends(1).await, "f-2").len(), 6);
    // A socket that is closed refuses to be written to; nothing else tells a client that does not read.
    let closed = async {
        while slow.0.send(Message::Ping(Vec::new().into())).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
    quick.say(json!({ "action": "resume", "id": "f-1", "attempt": 1, "after": 0 })).await;
    let frames = quick.hear_ends(1).await;
    assert_eq!(names(&frames, "f-1").len(), crate::worker::FLOOD as usize + 1, "nothing of it is lost");
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts() {
    let mut rig = Rig::with(json!({ "drain_timeout_ms": 100 })).await;
    let mut socket = Socket::open(&rig).await;
    socket.say(native("z-1", "hold")).await;
    rig.worker.held().await;
    rig.stop();
    assert_eq!(u16::from(socket.closed().await.code), 1001);
    drop(socket);
    rig.ended().await;
}

#[tokio::test]
async fn a_drain_lets_requests_end_and_closes_with_1001() {
    let mut rig = Rig::start().await;
    let mut busy = Socket::open(&rig).await;
    let mut idle = Socket::open(&rig).await;
    busy.say(json!({ "id": "d-1", "action": "chat.completion", "payload": chat("hold") })).await;
    assert_eq!(busy.hear().await["event"], "queued");
    assert_eq!(busy.hear().await["event"], "running");
    rig.stop();
    assert_eq!(u16::from(idle.closed().await.code), 1001);
    let ready = rig.get("/health/ready").await;
    assert_eq!((ready.status, &ready.json()["reasons"]), (503.try_into().unwrap(), &json!(["draining"])));
    busy.say(native("d-2", "sim-chat")).await;
    assert_eq!(busy.hear().await["error"]["code"], "overloaded");
    rig.worker.go.notify_one();
    assert_eq!(names(&busy.hear_ends(1).await, "d-1").last().unwrap(), "chat.complete");
    assert_eq!(u16::from(busy.closed().await.code), 1001);
    rig.ended().await;
}
