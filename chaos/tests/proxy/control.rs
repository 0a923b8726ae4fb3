//! The control over HTTP, as curl would use it.

use std::net::SocketAddr;

use chaos::proxy::Control;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::rig::{Rig, rest, send, take};

/// One request on a connection of its own: the status and the body.
async fn ask(address: SocketAddr, line: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    send(&mut stream, head + body).await;
    let answer = String::from_utf8(rest(&mut stream).await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn faults_are_set_read_and_healed_over_http() {
    let rig = Rig::with("latency=1ms").await;
    let control = Control::bind("127.0.0.1:0".parse().unwrap(), rig.link.clone()).await.unwrap();
    let address = control.local_addr();
    let mut serving = JoinSet::new();
    serving.spawn(async move { control.serve(std::future::pending()).await.unwrap() });
    let mut pair = rig.pair().await;

    let (status, body) = ask(address, "PUT /_sim/faults", "down:cut-after=2, up:stall").await;
    let state: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, state["faults"].as_str()), (200, Some("up:stall,down:cut-after=2")));
    send(&mut pair.server, "abc").await;
    assert_eq!(rest(&mut pair.client).await, b"ab");
    rig.until(|counts| counts.fired.down.cut == 1).await;

    let (status, body) = ask(address, "GET /_sim/link", "").await;
    let state: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, state["accepted"].as_u64(), state["open"].as_u64()), (200, Some(1), Some(1)));
    assert_eq!((state["bytes"]["down"].as_u64(), state["bytes"]["up"].as_u64()), (Some(2), Some(0)));
    assert_eq!(state["fired"]["down"]["cut"], 1);

    let (status, body) = ask(address, "PUT /_sim/faults", "up:stal").await;
    assert_eq!(status, 400);
    assert!(body.contains("`up:stal`"), "{body}");
    assert_eq!(rig.link.faults().to_string(), "up:stall,down:cut-after=2", "a wrong text changes nothing");

    let (status, body) = ask(address, "DELETE /_sim/faults", "").await;
    assert!(status == 200 && body.contains(r#""faults":"none""#), "{body}");
    send(&mut pair.client, "x").await;
    assert_eq!(take(&mut pair.server, 1).await, b"x");
}
