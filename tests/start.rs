//! The start and the end of the process, as its user meets them.

use std::{env, path::Path};

use broker::testing::{self, Server};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tempfile::tempdir;
use tokio::{net::TcpListener, process::Command, time::Instant};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, protocol::frame::coding::CloseCode},
};

use crate::support::{Broker, Dynode, Events, Launch, client, run, within};

on_each_broker!(
    the_curl_of_the_banner_is_answered,
    ctrl_c_drains_and_ends_well,
    a_stream_that_runs_at_ctrl_c_is_ended_properly,
    a_socket_that_is_open_at_ctrl_c_is_told_to_go,
);

/// What a line of the banner says after its label.
fn said<'a>(dynode: &'a Dynode, label: &str) -> &'a str {
    let line = dynode.banner().iter().find_map(|line| line.trim_start().strip_prefix(label));
    line.unwrap_or_else(|| panic!("no {label} in {:#?}", dynode.banner())).trim()
}

async fn the_curl_of_the_banner_is_answered(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    let mut shell = Command::new("sh");
    shell.args(["-c", said(&dynode, "try")]);
    let out = run(shell, "").await.succeeded();
    assert!(out.contains("chat.completion.chunk") && out.ends_with("data: [DONE]\n\n"), "{out}");
}

async fn ctrl_c_drains_and_ends_well(broker: Broker) {
    let mut dynode = Dynode::start(&broker).await;
    dynode.interrupt();
    assert_eq!(dynode.stopped().await, Some(0));
    assert!(client().get(dynode.url()).send().await.is_err(), "somebody still listens");
}

async fn a_stream_that_runs_at_ctrl_c_is_ended_properly(broker: Broker) {
    let mut dynode = Dynode::start(&broker).await;
    let request = client().post(dynode.url() + "/v1/chat/completions").json(&json!({
        "model": "sim-fast", "messages": [{"role": "user", "content": "x"}], "stream": true,
        "simulate": {"tokens": 40, "tokens_per_second": 40},
    }));
    let mut events = Events::of(request).await;
    events.next().await.expect("a first chunk");
    dynode.interrupt();
    let rest = events.rest().await;
    assert_eq!(rest.last().unwrap().data.as_deref(), Some("[DONE]"));
    assert_eq!(
        rest.len(),
        42,
        "40 tokens, of which one had come, a reason to finish, and the end: {rest:#?}"
    );
    assert_eq!(dynode.stopped().await, Some(0));
}

async fn a_socket_that_is_open_at_ctrl_c_is_told_to_go(broker: Broker) {
    let mut dynode = Dynode::start(&broker).await;
    let (mut socket, _) = connect_async(dynode.ws_url()).await.unwrap();
    socket.send(Message::text(r#"{"action":"system.health","id":"h"}"#)).await.unwrap();
    within("health", socket.next()).await.unwrap().unwrap();
    dynode.interrupt();
    // How busy the pools are may be told before.
    let mut farewell = Message::text("");
    while farewell.is_text() {
        farewell = within("a farewell", socket.next()).await.unwrap().unwrap();
    }
    assert!(
        matches!(&farewell, Message::Close(Some(close)) if close.code == CloseCode::Away),
        "{farewell:?}"
    );
    // The client answers a close as it reads on.
    assert!(within("the end", socket.next()).await.is_none());
    assert_eq!(dynode.stopped().await, Some(0));
}

#[tokio::test]
async fn the_banner_says_what_runs_and_what_it_survives() {
    let began = Instant::now();
    let dynode = Dynode::start(&Broker::Memory).await;
    println!("ready after {:?}", began.elapsed());
    assert!(dynode.banner().len() < 10, "few lines: {:#?}", dynode.banner());
    assert!(said(&dynode, "broker").contains("memory"));
    let all = dynode.banner().join("\n");
    for fact in [
        env!("CARGO_PKG_VERSION"),
        &dynode.url(),
        &dynode.ws_url(),
        "sim-chat",
        "sim-embed",
        "survives nothing",
    ] {
        assert!(all.contains(fact), "no `{fact}` in\n{all}");
    }
}

#[tokio::test]
async fn without_a_named_broker_the_server_on_path_is_managed_and_else_there_is_memory() {
    let empty = tempdir().unwrap();
    let without = Launch::bare().variable("PATH", empty.path().to_str().unwrap()).start().await;
    assert!(said(&without, "broker").contains("memory"));

    let server = testing::binary();
    let path = env::split_paths(&env::var_os("PATH").unwrap()).collect::<Vec<_>>();
    let dirs = server.parent().map(Path::to_owned).into_iter().chain(path);
    let with = Launch::bare().variable("PATH", env::join_paths(dirs).unwrap().to_str().unwrap());
    let with = with.start().await;
    assert!(!said(&with, "broker").contains("memory"));
}

#[tokio::test]
async fn a_server_that_is_named_is_used() {
    let server = Server::start().await;
    let dynode = Dynode::start(&Broker::Servers(server.url())).await;
    assert!(said(&dynode, "broker").contains("nats"), "{:#?}", dynode.banner());
}

#[tokio::test]
async fn a_server_that_cannot_be_started_is_told_with_its_own_code() {
    let nameless = Launch::bare().flags(["--broker", "managed", "--nats-server", "/nowhere"]);
    let nameless = nameless.refused().await.failed(69);
    assert!(nameless.contains("/nowhere") && nameless.contains("--nats-server"), "{nameless}");
}

#[tokio::test]
async fn an_address_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Launch::on(&Broker::Memory).listen(&address).refused().await;
    assert_ne!(ended.code, Some(0));
    assert!(ended.err.contains(&address), "{}", ended.err);
}

#[tokio::test]
async fn two_on_one_data_directory_are_told_apart() {
    let dir = tempdir().unwrap();
    let on_dir = || Launch::on(&Broker::Managed).flags(["--data-dir", dir.path().to_str().unwrap()]);
    let mut first = on_dir().start().await;
    let second = on_dir().refused().await.failed(69);
    assert!(second.contains("another dynode"), "{second}");
    first.interrupt();
    assert_eq!(first.stopped().await, Some(0));
}
