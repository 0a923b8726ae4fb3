//! The configuration changes while the program runs: what is new is served, what runs goes on, and what is wrong is told
//! and not taken.

use std::{fs, path::Path};

use adapters::http;
use chaos::provider::{Config, Provider};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    support::{Broker, Dynode, Events, Launch, client, within},
    workers,
};

/// A second provider, as one file.
const SECOND: &str = r#"
[providers.second]
kind = "simulated"
models.other = {}

[waterfalls."chat.completion".any]
steps = ["second/other", "sim/sim-fast"]
"#;

async fn chat(dynode: &Dynode, model: &str) -> (u16, Value) {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "x"}]});
    dynode.post("/v1/chat/completions", &body).await
}

/// Adds one file of settings beside the main one.
fn add(dynode: &Dynode, text: &str) {
    let directory = dynode.dir().join("dynode.d");
    fs::create_dir_all(&directory).unwrap();
    write(&directory.join("second.toml"), text);
}

/// Writes a file as a careful person does: whole, or not at all.
fn write(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

async fn is_served(dynode: &Dynode, model: &str) {
    within("the model", async {
        while dynode.get(&format!("/v1/models/{model}")).await.0 != 200 {
            tokio::time::sleep(workers::LOOK_EVERY).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_provider_is_added_by_one_file_and_what_runs_goes_on() {
    let dynode = Launch::on(&Broker::Memory).start().await;
    assert_eq!(chat(&dynode, "other").await.0, 404);
    let slow = client().post(dynode.url() + "/v1/chat/completions").json(&json!({
        "model": "sim-chat", "stream": true, "messages": [{"role": "user", "content": "x"}],
        "simulate": {"tokens": 120},
    }));
    let events = Events::of(slow).await;
    add(&dynode, SECOND);
    is_served(&dynode, "other").await;
    assert_eq!(chat(&dynode, "other").await.0, 200);
    let (status, completion) = chat(&dynode, "any").await;
    assert_eq!((status, &completion["model"]), (200, &json!("any")), "{completion:#}");
    assert_eq!(chat(&dynode, "sim-fast").await.0, 200);
    let chunks: Vec<_> = events.rest().await.into_iter().filter_map(|event| event.data).collect();
    assert_eq!(chunks.last().map(String::as_str), Some("[DONE]"), "what ran has come to its end");
    let (_, models) = dynode.get("/v1/models").await;
    let owner = |id: &str| {
        let models = models["data"].as_array().unwrap();
        models.iter().find(|model| model["id"] == id).unwrap()["owned_by"].clone()
    };
    assert_eq!((owner("any"), owner("other")), (json!("dynode"), json!("second")));
}

#[tokio::test]
async fn a_vendor_is_added_by_one_file_and_changed_by_its_provider_file() {
    http::install_crypto();
    let vendor = Provider::bind(Config::default()).await.unwrap();
    let address = vendor.local_addr();
    let mut serving = JoinSet::new();
    serving.spawn(vendor.serve(std::future::pending()));
    let dynode = Launch::on(&Broker::Memory).start().await;
    let search = async |id: &str, model: &str| {
        let payload = json!({"model": model, "query": "sea", "per_page": 2});
        let body = json!({"id": id, "action": "media.search", "payload": payload});
        dynode.post("/v1/requests", &body).await;
        dynode.outcome(id).await
    };
    let table = |file: &str| {
        format!(
            "[providers.stock]\nkind = \"dynamic\"\nfile = \"{file}\"\napi_key = \"k\"\n\
             base_url = \"http://{address}/pexels\"\n"
        )
    };
    add(&dynode, &table("pexels"));
    is_served(&dynode, "pexels").await;
    let found = search("shipped", "pexels").await;
    assert_eq!(found["output"]["items"].as_array().map(Vec::len), Some(2), "{found:#}");

    // Of one's own: what the file says changes with it.
    let shipped = include_str!("../config/providers/pexels.toml");
    let own = |model: &str| shipped.replace("pexels = { call", &format!("{model} = {{ call"));
    write(&dynode.dir().join("own.toml"), &own("mine"));
    add(&dynode, &table("./own.toml"));
    is_served(&dynode, "mine").await;
    assert_eq!(search("own", "mine").await["status"], "succeeded");
    write(&dynode.dir().join("own.toml"), &own("mine-too"));
    is_served(&dynode, "mine-too").await;
    assert_eq!(search("changed", "mine-too").await["status"], "succeeded");
}

#[tokio::test]
async fn a_wrong_file_is_told_with_its_line_and_nothing_changes() {
    let dynode = Launch::on(&Broker::Memory).start().await;
    add(&dynode, "[providers.second]\nkind = \"simulated\"\nmodels.other = { pace = 3 }\n");
    workers::until("the complaint", || dynode.log().contains("second.toml:3")).await;
    assert_eq!(chat(&dynode, "sim-fast").await.0, 200);
    assert_eq!(chat(&dynode, "other").await.0, 404);
    add(&dynode, SECOND);
    is_served(&dynode, "other").await;
}

#[tokio::test]
async fn what_takes_effect_later_is_told() {
    let dynode = Launch::on(&Broker::Memory).start().await;
    add(&dynode, "prefix = \"other\"\n");
    workers::until("the warning", || dynode.log().contains("only from the next start on")).await;
    assert_eq!(chat(&dynode, "sim-fast").await.0, 200);
}

#[tokio::test]
async fn worker_processes_are_replaced_one_after_the_other() {
    let server = broker::testing::Server::start().await;
    let dynode = workers::start(&Broker::Servers(server.url())).await;
    let before = workers::workers(&dynode);
    // What takes effect at the next start reaches no worker before: on another prefix it would not be heard.
    add(&dynode, &format!("prefix = \"elsewhere\"\n{SECOND}"));
    is_served(&dynode, "other").await;
    workers::until("new processes", || {
        let now = workers::ready(&dynode);
        now.len() == 2 && now.values().all(|pid| !before.values().any(|old| old == pid))
    })
    .await;
    assert_eq!(chat(&dynode, "other").await.0, 200);
    assert!(!dynode.log().contains("a worker process died"), "{}", dynode.log());
}
