//! Files that providers made: through every door, in part, by a link, and after a restart.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Broker, Dynode, client, run};

on_each_broker!(
    an_image_is_told_as_it_is_made_and_read_whole_and_in_part,
    a_link_is_good_without_a_key_and_not_when_it_was_changed,
    a_text_is_painted_and_spoken_from_the_command_line,
);

fn painting(id: &str) -> Value {
    let payload = json!({"model": "sim-image", "prompt": "a cat", "n": 2});
    json!({"id": id, "action": "image.generate", "payload": payload})
}

/// The assets of the request `id`, which paints.
async fn paint(dynode: &Dynode, id: &str) -> Vec<Value> {
    let (status, accepted) = dynode.post("/v1/requests", &painting(id)).await;
    assert_eq!(status, 202, "{accepted}");
    let outcome = dynode.outcome(id).await;
    assert_eq!(
        (&outcome["status"], &outcome["usage"]["images"]),
        (&json!("succeeded"), &json!(2)),
        "{outcome:#}"
    );
    outcome["output"]["assets"].as_array().unwrap().clone()
}

async fn read(dynode: &Dynode, path: &str) -> (u16, Vec<u8>) {
    let response = client().get(dynode.url() + path).send().await.unwrap();
    (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
}

/// What curl prints, which is asked as people ask it.
async fn curl(dynode: &Dynode, path: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-s", "-o", "/dev/null", "-w", "%{http_code} %{size_download}"]).args(arguments);
    command.arg(dynode.url() + path);
    run(command, "").await.out
}

async fn an_image_is_told_as_it_is_made_and_read_whole_and_in_part(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    let assets = paint(&dynode, "p").await;
    let events = dynode.events("p", None).await.rest().await;
    let told: Vec<Value> = events
        .iter()
        .filter(|event| event.event.as_deref() == Some("artifact"))
        .map(|event| serde_json::from_str::<Value>(event.data.as_deref().unwrap()).unwrap()["data"].clone())
        .collect();
    assert_eq!(told, assets);

    let (path, bytes) = (assets[1]["url"].as_str().unwrap(), assets[1]["bytes"].as_u64().unwrap());
    let (status, picture) = read(&dynode, path).await;
    assert_eq!((status, picture.len() as u64), (200, bytes));
    assert!(picture.starts_with(b"\x89PNG"));
    assert_eq!(curl(&dynode, path, &["-r", "100-199"]).await, "206 100");
    assert_eq!(curl(&dynode, path, &["-r", &format!("{bytes}-")]).await, "416 0");
    let etag = format!("If-None-Match: \"{}\"", assets[1]["sha256"].as_str().unwrap());
    assert_eq!(curl(&dynode, path, &["-H", &etag]).await, "304 0");
    assert_eq!(read(&dynode, "/v1/assets/asset_00").await.0, 404);
}

async fn a_link_is_good_without_a_key_and_not_when_it_was_changed(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    let assets = paint(&dynode, "p").await;
    let (status, link) = dynode.get(&format!("{}/link", assets[0]["url"].as_str().unwrap())).await;
    assert_eq!((status, &link["asset"]), (200, &assets[0]));
    let url = link["url"].as_str().unwrap();
    assert_eq!(read(&dynode, url).await.0, 200);
    let other = url.replace(assets[0]["id"].as_str().unwrap(), assets[1]["id"].as_str().unwrap());
    assert_eq!(read(&dynode, &other).await.0, 404);
    assert_eq!(read(&dynode, &url.replacen("expires=", "expires=-", 1)).await.0, 403, "it has expired");
}

async fn a_text_is_painted_and_spoken_from_the_command_line(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    for (action, kind) in [("image.generate", "image/png"), ("audio.synthesize", "audio/wav")] {
        let sent = dynode.run(&["send", "--action", action, "a cat"]).await;
        assert_eq!(sent.code, Some(0), "{}", sent.err);
        let (path, about) = sent.out.trim_end().split_once(' ').unwrap();
        assert!(about.starts_with(&format!("({kind}, ")), "{about}");
        assert_eq!(read(&dynode, path).await.0, 200);
    }
}

#[tokio::test]
async fn an_asset_outlives_a_kill_and_so_does_a_link_to_it() {
    let mut dynode = Dynode::start(&Broker::Managed).await;
    let assets = paint(&dynode, "p").await;
    let path = assets[0]["url"].as_str().unwrap();
    let link = dynode.get(&format!("{path}/link")).await.1["url"].as_str().unwrap().to_owned();
    let (_, before) = read(&dynode, path).await;
    dynode.kill().await;
    dynode.restart().await;
    assert_eq!(read(&dynode, path).await, (200, before.clone()));
    assert_eq!(read(&dynode, &link).await, (200, before));
}

#[tokio::test]
async fn another_tenants_asset_is_not_there() {
    let server = broker::testing::Server::start().await;
    let broker = Broker::Servers(server.url());
    let one = Dynode::start(&broker).await;
    let launch = crate::support::Launch::on(&broker).variable("DYNODE_GATEWAY__TENANT", "other");
    let other = launch.start().await;
    let assets = paint(&one, "p").await;
    let path = assets[0]["url"].as_str().unwrap();
    assert_eq!(read(&one, path).await.0, 200);
    assert_eq!(read(&other, path).await.0, 404);
    assert_eq!(read(&other, &format!("{path}/link")).await.0, 404);
    let link = one.get(&format!("{path}/link")).await.1["url"].as_str().unwrap().to_owned();
    assert_eq!(read(&other, &link).await.0, 200, "a link is good at every gateway");
}
