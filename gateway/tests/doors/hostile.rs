//! Clients that mean harm, below the level of requests: heads without end, streams that are taken back, connections that
//! are held. Each loses its own connection and nothing else.

use std::time::Duration;

use axum::{body::Body, http::Request};
use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Message,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use crate::rig::{PATIENCE, Rig};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
/// Flags of a head.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Why a server ends a connection.
const ENHANCE_YOUR_CALM: u32 = 11;

/// How long a server is watched that is to do nothing.
const A_WHILE: Duration = Duration::from_millis(200);

/// Reads an answer of HTTP/1 with its body, which is JSON; its head.
async fn answer(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let (head, body) = match read.windows(4).position(|end| end == b"\r\n\r\n") {
            Some(end) => read.split_at(end + 4),
            None => (&[][..], &[][..]),
        };
        if !head.is_empty() && serde_json::from_slice::<serde_json::Value>(body).is_ok() {
            return String::from_utf8(head.to_vec()).unwrap().to_ascii_lowercase();
        }
        let more = timeout(PATIENCE, stream.read_buf(&mut read)).await.unwrap().unwrap();
        assert!(more > 0, "the connection was closed after {:?}", String::from_utf8_lossy(&read));
    }
}

#[tokio::test]
async fn who_is_refused_by_the_head_alone_can_ask_again_on_the_same_connection() {
    let rig = Rig::start().await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let head = |path: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n")
    };
    stream.write_all((head("/v1/nowhere", 2) + "\r\n").as_bytes()).await.unwrap();
    // Its body comes after whatever the server does with the head.
    let mut early = [0; 1];
    let waits = timeout(A_WHILE, stream.peek(&mut early)).await;
    assert!(waits.is_err(), "the refusal does not come before the body");
    stream.write_all(b"{}").await.unwrap();
    assert!(answer(&mut stream).await.starts_with("http/1.1 404"));

    // Who asks whether to send a body, or has a long one, is told that the connection ends.
    let asks = head("/v1/nowhere", 2) + "expect: 100-continue\r\n\r\n";
    stream.write_all(asks.as_bytes()).await.unwrap();
    let refused = answer(&mut stream).await;
    assert!(refused.starts_with("http/1.1 404") && refused.contains("connection: close"), "{refused}");
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all((head("/v1/nowhere", 1 << 20) + "\r\n").as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.contains("connection: close"));
}

/// One frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The head of `GET /`, in HPACK.
const HEAD: &[u8] = b"\x82\x86\x84\x41\x09localhost";

/// A connection on which the client has begun to speak HTTP/2.
async fn begin(rig: &Rig) -> TcpStream {
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    stream
}

/// The next frame: its type, and what is in it.
async fn next(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some((head[3], payload))
}

/// Why the server ended the connection, where it said so; it must end it.
async fn ended(stream: &mut TcpStream) -> Option<u32> {
    let mut why = None;
    let ends = async {
        while let Some((kind, payload)) = next(stream).await {
            if kind == GOAWAY {
                why = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
    };
    timeout(PATIENCE, ends).await.unwrap();
    why
}

/// A neighbour is answered.
async fn check_unharmed(rig: &Rig) {
    assert_eq!(rig.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn a_client_of_http2_is_told_its_limits() {
    let rig = Rig::start().await;
    let mut stream = begin(&rig).await;
    let (kind, payload) = next(&mut stream).await.unwrap();
    assert_eq!(kind, SETTINGS);
    let settings: Vec<(u16, u32)> = payload
        .chunks_exact(6)
        .map(|pair| {
            (u16::from_be_bytes([pair[0], pair[1]]), u32::from_be_bytes(pair[2..].try_into().unwrap()))
        })
        .collect();
    assert!(settings.contains(&(3, 200)), "streams at once: {settings:?}");
    assert!(settings.contains(&(6, 64 << 10)), "bytes of a head: {settings:?}");
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_end_their_connection() {
    let rig = Rig::start().await;
    let mut stream = begin(&rig).await;
    let cancel = 8_u32.to_be_bytes();
    let flood = (0..1_000).flat_map(|index| {
        let stream = 2 * index + 1;
        let head = frame(HEADERS, END_STREAM | END_HEADERS, stream, HEAD);
        [head, frame(RST_STREAM, 0, stream, &cancel)].concat()
    });
    // The connection may end before all of it is written.
    let _ = stream.write_all(&flood.collect::<Vec<_>>()).await;
    let why = ended(&mut stream).await;
    assert!(why.is_none_or(|why| why == ENHANCE_YOUR_CALM), "{why:?}");
    check_unharmed(&rig).await;
}

#[tokio::test]
async fn a_head_that_never_ends_ends_its_connection() {
    let rig = Rig::start().await;
    let mut stream = begin(&rig).await;
    stream.write_all(&frame(HEADERS, END_STREAM, 1, HEAD)).await.unwrap();
    // Never indexed, without a name in the table: `x: y`, over and over.
    let piece = frame(CONTINUATION, 0, 1, &b"\x10\x01x\x01y".repeat(200));
    for _ in 0..10_000 {
        if stream.write_all(&piece).await.is_err() {
            break;
        }
    }
    ended(&mut stream).await;
    check_unharmed(&rig).await;
}

#[tokio::test]
async fn a_body_of_nothing_without_end_ends_its_connection() {
    let rig = Rig::start().await;
    let mut stream = begin(&rig).await;
    // `POST` of a door that reads bodies.
    let post = b"\x83\x86\x44\x0c/v1/requests\x41\x09localhost";
    stream.write_all(&frame(HEADERS, END_HEADERS, 1, post)).await.unwrap();
    let piece = frame(DATA, 0, 1, &[]).repeat(1_000);
    for _ in 0..1_000 {
        if stream.write_all(&piece).await.is_err() {
            break;
        }
    }
    ended(&mut stream).await;
    check_unharmed(&rig).await;
}

#[tokio::test]
async fn a_head_over_its_limit_is_431() {
    let rig = Rig::start().await;
    let many = (0..101).map(|index| format!("x-{index}: y\r\n")).collect::<String>();
    for headers in [format!("x: {}\r\n", "y".repeat(70_000)), many] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        let head = format!("GET /v1/models HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        // The connection may end before all of it is written.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut said = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("must be closed");
        let said = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 431 "), "{said}");
    }
    check_unharmed(&rig).await;
}

#[tokio::test]
async fn who_asks_for_nothing_loses_the_connection() {
    let rig = Rig::with(json!({ "header_read_timeout_ms": 200 })).await;
    let stream = TokioIo::new(TcpStream::connect(rig.address).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let asked = async {
        let request = Request::get("http://localhost/v1/models").body(Body::empty()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
        // The client would keep it.
        sender
    };
    let both = async { tokio::join!(asked, connection) };
    let (_sender, ended) = timeout(PATIENCE, both).await.expect("the connection must end");
    // However it ends.
    drop(ended);
}

#[tokio::test]
async fn an_answer_that_takes_its_time_is_no_idleness() {
    let rig = Rig::with(json!({ "header_read_timeout_ms": 200 })).await;
    let mut live = rig.open(Request::get("/v1/events").body(Body::empty()).unwrap()).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let request = crate::client::native("late", "sim-chat");
    assert_eq!(rig.post("/v1/requests", &request).await.status, 202);
    live.read_until("\"late\"").await;
}

#[tokio::test]
async fn one_connection_too_many_waits_for_its_place() {
    let rig = Rig::with(json!({ "connections_max": 1 })).await;
    let held = TcpStream::connect(rig.address).await.unwrap();
    let second = rig.get("/v1/models");
    tokio::pin!(second);
    assert!(timeout(Duration::from_millis(100), &mut second).await.is_err(), "there is no place");
    drop(held);
    assert_eq!(second.await.status, 200);
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn socket(rig: &Rig) -> Socket {
    connect_async(format!("ws://{}/ws", rig.address)).await.unwrap().0
}

#[tokio::test]
async fn a_message_of_fragments_without_end_closes_its_socket() {
    let rig = Rig::with(json!({ "frame_bytes_max": 1_000 })).await;
    let mut socket = socket(&rig).await;
    let mut kind = OpCode::Data(Data::Text);
    for _ in 0..10_000 {
        let piece = Frame::message("x".repeat(100), kind, false);
        // The socket may be closed before all of it is written.
        if socket.send(Message::Frame(piece)).await.is_err() {
            break;
        }
        kind = OpCode::Data(Data::Continue);
    }
    let closed = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(frame) = message {
                return frame.map(|frame| u16::from(frame.code));
            }
        }
        None
    };
    // What was still under way may have reset the connection over the close frame.
    let code = timeout(PATIENCE, closed).await.expect("must be closed");
    assert!(code.is_none_or(|code| code == 1009), "{code:?}");
    check_unharmed(&rig).await;
}

#[tokio::test]
async fn pings_without_number_hold_up_nobody() {
    let rig = Rig::start().await;
    let (mut sender, mut receiver) = socket(&rig).await.split();
    let flood = async {
        for _ in 0..20_000 {
            sender.send(Message::Ping(vec![7; 125].into())).await.unwrap();
        }
        sender.send(Message::text(r#"{"action":"system.health","id":"h"}"#)).await.unwrap();
    };
    let answered = async { while !matches!(receiver.next().await.unwrap().unwrap(), Message::Text(_)) {} };
    let both = async { tokio::join!(flood, answered, check_unharmed(&rig)) };
    timeout(PATIENCE, both).await.unwrap();
}
